//! A journal in files, for a gateway with a disk of its own: the default.
//!
//! Entries are frames in files of some 16 MiB that are only appended to, each named by its first number. A batch is a write, or
//! some where nobody waits, and one `fdatasync`. What follows the last whole frame was never acknowledged; it is cut off before the next is written,
//! and kept in `torn` for whoever wants to look. After a write that failed nothing is known about the file's end: it is cut
//! back to what was acknowledged, and another file is begun. Beside them lie a file of the hashes over 256 entries, and a
//! folder for each kind of thing with a file for each.
//!
//! There is no index: looking for something reads the files from the newest or the oldest, and skips those in which
//! the words do not occur. That is some hundred megabytes a second; who has more to search keeps the log in PostgreSQL.

mod beside;
mod frame;
mod segment;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_model::{Batch, Entry, Extent, Journal, Search, Unavailable};
use rustix::fs::{Advice, fadvise};

use crate::merkle::TILE;
use crate::record;
use segment::Loaded;

/// A file that has this many bytes gets no more.
const FULL: u64 = 16 << 20;
/// What is written goes by pages of this size, or of a part of it.
const PAGE: u64 = 64 << 10;
/// What is written at once where nobody waits for it. A whole batch takes the system a millisecond, in which whoever answers
/// calls on the same processor would stand still.
const PIECE: usize = 128 << 10;
/// What reading gives at once.
const READ: usize = 8 << 20;
const TILES: &str = "tiles";
const TORN: &str = "torn";

/// A journal in files.
pub struct Segments {
    folder: PathBuf,
    state: Mutex<State>,
    loaded: Mutex<Option<Arc<Loaded>>>,
    /// Held while this one may write.
    _lock: Option<File>,
}

struct State {
    /// The files: their first numbers.
    segments: BTreeMap<u64, PathBuf>,
    next: u64,
    tail: Tail,
    writable: bool,
}

/// Where the next frame goes.
enum Tail {
    /// After what is known to be whole; `torn` says that more is there.
    At { file: File, first: u64, end: u64, torn: bool },
    /// Into another file.
    Nowhere,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Unavailable + '_ {
    move |error| Unavailable(format!("{}: {error}", path.display()))
}

impl Segments {
    /// Opens a folder for writing, which is made when it is missing. One process at a time can.
    ///
    /// # Errors
    /// The folder cannot be used, or another process writes there.
    pub fn open(folder: &Path) -> Result<Self, Unavailable> {
        let mut made = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(made.recursive(true), 0o700);
        made.create(folder).map_err(failed(folder))?;
        let path = folder.join("lock");
        let lock =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed(&path))?;
        lock.try_lock().map_err(|error| {
            Unavailable(format!("{}: another process writes here: {error}", path.display()))
        })?;
        Self::with(folder, Some(lock))
    }

    /// Opens a folder for reading, while another process may write there.
    ///
    /// # Errors
    /// There is no such folder, or it cannot be read.
    pub fn read_only(folder: &Path) -> Result<Self, Unavailable> {
        Self::with(folder, None)
    }

    fn with(folder: &Path, lock: Option<File>) -> Result<Self, Unavailable> {
        let mut segments = BTreeMap::new();
        for found in fs::read_dir(folder).map_err(failed(folder))? {
            let path = found.map_err(failed(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "log")
                && let Some(first) = path.file_stem().and_then(|name| name.to_str()?.parse().ok())
            {
                segments.insert(first, path);
            }
        }
        let mut state = State { segments, next: 0, tail: Tail::Nowhere, writable: lock.is_some() };
        state.find_end()?;
        Ok(Self {
            folder: folder.to_owned(),
            state: Mutex::new(state),
            loaded: Mutex::default(),
            _lock: lock,
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that an entry is in, as far as it was read.
    fn load(&self, seq: u64) -> Result<Option<Arc<Loaded>>, Unavailable> {
        let found =
            self.state().segments.range(..=seq).next_back().map(|(first, path)| (*first, path.clone()));
        let Some((first, path)) = found else { return Ok(None) };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.as_ref().filter(|known| known.first == first && known.next() > seq) {
            return Ok(Some(known.clone()));
        }
        let read = Arc::new(Loaded::read(first, &path)?);
        *loaded = Some(read.clone());
        Ok(Some(read))
    }

    fn write_tiles(&self, batch: &Batch) -> io::Result<()> {
        let tiles = batch.entries().filter_map(|entry| Some((entry.seq / TILE, entry.hashes.tile?)));
        let mut file = None;
        for (place, tile) in tiles {
            let file = match &file {
                Some(file) => file,
                None => {
                    let open = OpenOptions::new()
                        .create(true)
                        .write(true)
                        .truncate(false)
                        .mode(0o600)
                        .open(self.folder.join(TILES));
                    file.insert(open?)
                }
            };
            file.write_all_at(&tile, place * 32)?;
        }
        Ok(())
    }
}

impl State {
    /// Where the last file ends, as far as it is whole.
    fn find_end(&mut self) -> Result<(), Unavailable> {
        let Some((first, path)) = self.segments.last_key_value() else { return Ok(()) };
        let loaded = Loaded::read(*first, path)?;
        let whole = loaded.whole();
        if let Some(after) = loaded.goes_on_after(whole) {
            return Err(Unavailable(format!(
                "{}: event {} is damaged, and others follow it from {after}",
                path.display(),
                first + whole as u64
            )));
        }
        self.next = first + whole as u64;
        let end = loaded.end(whole);
        if self.writable {
            let file = OpenOptions::new().write(true).open(path).map_err(failed(path))?;
            let torn = end < loaded.bytes.len() as u64;
            self.tail = Tail::At { file, first: *first, end, torn };
        }
        Ok(())
    }

    /// A file to write to, from where on.
    fn tail(&mut self, folder: &Path) -> Result<(&File, &mut u64), Unavailable> {
        if let Tail::At { file, first, end, torn } = &mut self.tail {
            if *torn {
                keep_torn(folder, &self.segments[first], *end, self.next)?;
                file.set_len(*end).and_then(|()| file.sync_data()).map_err(failed(folder))?;
                *torn = false;
            }
            if *end >= FULL {
                self.tail = Tail::Nowhere;
            }
        }
        if matches!(self.tail, Tail::Nowhere) {
            let path = folder.join(format!("{:020}.log", self.next));
            let mut made = OpenOptions::new();
            let file = made
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .map_err(failed(&path))?;
            beside::sync_folder(folder)?;
            self.segments.insert(self.next, path);
            self.tail = Tail::At { file, first: self.next, end: 0, torn: false };
        }
        match &mut self.tail {
            Tail::At { file, end, .. } => Ok((file, end)),
            Tail::Nowhere => Err(Unavailable("there is no file to write to".to_owned())),
        }
    }

    /// After a write that failed: cuts off what it left, and begins another file.
    fn abandon(&mut self) {
        if let Tail::At { file, end, torn, .. } = &mut self.tail {
            let cut = file.set_len(*end).and_then(|()| file.sync_data());
            if cut.is_err() {
                *torn = true;
                return;
            }
        }
        self.tail = Tail::Nowhere;
    }
}

/// Writes pieces one after the other, and lets others go first between them.
fn write_at<'a>(file: &File, mut place: u64, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    for (at, piece) in pieces.enumerate() {
        if at > 0 {
            std::thread::yield_now();
        }
        file.write_all_at(piece, place)?;
        place += piece.len() as u64;
    }
    Ok(())
}

/// Tells the system that what is on the disk now is not read again soon: the next batch goes into the same memory. Otherwise each
/// takes memory that was not used for long, which costs more than writing it where a machine is a virtual one and gives back what
/// it does not use (1.9 ms for each megabyte, and 0.6 like this), and a log pushes out what others read.
fn let_go(file: &File, from: u64, to: u64) {
    // The last page stays: the next batch goes on in it.
    let (from, to) = (from / PAGE * PAGE, to / PAGE * PAGE);
    if let Some(length) = NonZeroU64::new(to - from) {
        // Nothing depends on it.
        let _ = fadvise(file, from, Some(length), Advice::DontNeed);
    }
}

/// Puts aside what follows the last whole frame.
fn keep_torn(folder: &Path, segment: &Path, end: u64, next: u64) -> Result<(), Unavailable> {
    let bytes = fs::read(segment).map_err(failed(segment))?;
    let torn = usize::try_from(end).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
    beside::put(folder, TORN, &format!("{next:020}"), torn)
}

impl Journal for Segments {
    fn has_marks(&self) -> bool {
        false
    }

    fn extent(&self) -> Result<Extent, Unavailable> {
        let mut state = self.state();
        if !state.writable {
            state.find_end()?;
        }
        let first = state.segments.first_key_value().map_or(0, |(first, _)| *first);
        Ok(Extent { first, next: state.next })
    }

    fn append(&self, batch: &mut Batch) -> Result<(), Unavailable> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        if !state.writable {
            return Err(Unavailable("the journal was opened for reading".to_owned()));
        }
        if batch.first() != state.next {
            return Err(Unavailable(format!("event {} cannot follow {} events", batch.first(), state.next)));
        }
        frame::fill(batch)?;
        let bytes = batch.bytes();
        let (file, end) = state.tail(&self.folder)?;
        let piece = if batch.unhurried { PIECE } else { usize::MAX };
        let written = write_at(file, *end, bytes.chunks(piece)).and_then(|()| file.sync_data());
        if let Err(error) = written {
            state.abandon();
            return Err(failed(&self.folder)(error));
        }
        let before = std::mem::replace(end, *end + bytes.len() as u64);
        let_go(file, before, *end);
        state.next = batch.next();
        drop(state);
        // Derived: what is missing is computed again.
        if let Err(error) = self.write_tiles(batch) {
            tracing::warn!(
                error = error.to_string(),
                "hashes of the evidence log were not kept; the next start takes longer"
            );
        }
        Ok(())
    }

    fn read(&self, from: u64, most: usize) -> Result<Vec<Entry>, Unavailable> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut next = from;
        // What follows the last whole frame is no entry yet.
        let there = self.state().next.saturating_sub(from);
        let most = most.min(usize::try_from(there).unwrap_or(usize::MAX));
        while entries.len() < most && bytes < READ {
            let Some(loaded) = self.load(next)? else { break };
            let before = entries.len();
            for entry in loaded.entries_from(next).take(most - before) {
                bytes += entry.record.len() + entry.payload.as_ref().map_or(0, Vec::len);
                next = entry.seq + 1;
                entries.push(entry);
                if bytes >= READ {
                    break;
                }
            }
            if entries.len() == before {
                break;
            }
        }
        Ok(entries)
    }

    fn find(&self, search: &Search, most: usize) -> Result<Vec<Entry>, Unavailable> {
        let mut segments: Vec<(u64, PathBuf)> = self.state().segments.clone().into_iter().collect();
        let mut found = Vec::new();
        if let Some(from) = search.from.filter(|_| !search.newest_first) {
            // What ends before it is not read.
            let before = segments.partition_point(|(first, _)| *first <= from).saturating_sub(1);
            segments.drain(..before);
        }
        let ordered: Box<dyn Iterator<Item = (u64, PathBuf)>> = if search.newest_first {
            Box::new(segments.into_iter().rev())
        } else {
            Box::new(segments.into_iter())
        };
        for (first, path) in ordered {
            if found.len() >= most {
                break;
            }
            if search.newest_first && search.from.is_some_and(|from| first >= from) {
                continue;
            }
            let loaded = Loaded::read(first, &path)?;
            if loaded.may_have(search) {
                look(&loaded, search, most, &mut found);
            }
        }
        Ok(found)
    }

    fn tiles(&self) -> Result<Vec<[u8; 32]>, Unavailable> {
        let first = self.extent()?.first;
        let bytes = fs::read(self.folder.join(TILES)).unwrap_or_default();
        let skipped = usize::try_from(first / TILE).unwrap_or(usize::MAX);
        let tiles =
            bytes.chunks_exact(32).skip(skipped).map(|tile| tile.try_into().expect("it has 32 bytes"));
        // One that was never written is a hole, and ends what is known.
        Ok(tiles.take_while(|tile| *tile != [0; 32]).collect())
    }

    fn remove_before(&self, seq: u64) -> Result<(), Unavailable> {
        let mut state = self.state();
        if seq > state.next {
            return Err(Unavailable(format!("there is no event {seq}")));
        }
        while let Some((first, path)) =
            state.segments.first_key_value().map(|(first, path)| (*first, path.clone()))
        {
            if first >= seq {
                break;
            }
            let following = state.segments.range(first + 1..).next().map_or(state.next, |(next, _)| *next);
            let last = following == state.next;
            if following > seq {
                let rest = Loaded::read(first, &path)?.frames_from(seq);
                let name = folder_name(seq);
                beside::write_atomically(&self.folder, &self.folder.join(&name), &rest)?;
                state.segments.insert(seq, self.folder.join(name));
            }
            if last {
                state.tail = Tail::Nowhere;
            }
            fs::remove_file(&path).map_err(failed(&path))?;
            state.segments.remove(&first);
        }
        beside::sync_folder(&self.folder)?;
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn put(&self, kind: &'static str, name: &str, value: &[u8]) -> Result<(), Unavailable> {
        beside::put(&self.folder, kind, name, value)
    }

    fn get(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        beside::get(&self.folder, kind, name)
    }

    fn list(&self, kind: &'static str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unavailable> {
        beside::list(&self.folder, kind, prefix)
    }

    fn remove(&self, kind: &'static str, name: &str) -> Result<(), Unavailable> {
        beside::remove(&self.folder, kind, name)
    }
}

fn folder_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// Adds what one file has of what is looked for.
fn look(loaded: &Loaded, search: &Search, most: usize, found: &mut Vec<Entry>) {
    let wanted = |seq: u64| match search.from {
        Some(from) if search.newest_first => seq < from,
        Some(from) => seq >= from,
        None => true,
    };
    let numbers: Box<dyn Iterator<Item = u64>> = if search.newest_first {
        Box::new((loaded.first..loaded.next()).rev())
    } else {
        Box::new(loaded.first..loaded.next())
    };
    for seq in numbers.filter(|seq| wanted(*seq)) {
        if found.len() >= most {
            return;
        }
        let Some(record) = loaded.record(seq).filter(|record| segment::may_have(record, search)) else {
            continue;
        };
        // What is no record any more may be what is looked for: it is not left out unsaid.
        if record::marks_of(record).map_or(true, |marks| search.matches(&marks)) {
            found.extend(loaded.entry(seq).map(|entry| Entry { payload: None, ..entry }));
        }
    }
}

#[cfg(test)]
mod tests;
