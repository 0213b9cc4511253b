//! Where the members of the upper levels of a document stand: what the check saw on its way.
//!
//! A message is checked once, from its first byte to its last. What a gateway asks of it afterwards (the method, the
//! tool's name, `_meta`, the kind of result) stands on the upper levels, and would be found by walking the same bytes
//! again and again. So the check writes down what it passes there. What it writes is bounded: a document with more
//! members than [`MOST`] is walked like any other.

/// So many members are noted.
const MOST: usize = 64;
/// Most documents have no more than this.
const USUAL: usize = 16;

/// One member, by position in the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// 1 for the members of the outermost object.
    pub(super) depth: u8,
    /// Whether the key has escapes.
    pub(super) escaped: bool,
    /// With its quotes.
    pub(super) key: Span,
    pub(super) value: Span,
}

/// Where something starts and ends, in bytes from the start of a document of less than 4 GiB.
pub(super) type Span = (u32, u32);

/// The members of the upper levels, in the order of the document: what is inside a member follows it.
#[derive(Debug)]
pub(super) struct Outline {
    entries: Vec<Entry>,
    levels: u8,
    /// There were more than could be noted.
    partial: bool,
}

impl Outline {
    /// For the members of so many levels of a document of so many bytes.
    pub(super) fn new(levels: u8, size: usize) -> Self {
        let levels = if u32::try_from(size).is_ok() { levels } else { 0 };
        let entries = Vec::with_capacity(if levels > 0 { USUAL } else { 0 });
        Self { entries, levels, partial: false }
    }

    /// Notes a member whose value is about to be read; returns its place, if it is to be noted.
    pub(super) fn begin(&mut self, depth: usize, key: (usize, usize), escaped: bool) -> Option<usize> {
        let depth = u8::try_from(depth).ok().filter(|depth| *depth <= self.levels)?;
        let place = self.entries.len();
        if place == MOST {
            self.partial = true;
            return None;
        }
        self.entries.push(Entry { depth, escaped, key: span(key), value: (0, 0) });
        Some(place)
    }

    /// The value of a noted member was read.
    pub(super) fn end(&mut self, place: usize, value: (usize, usize)) {
        self.entries[place].value = span(value);
    }

    /// Whether the members at this depth are all there.
    pub(super) fn covers(&self, depth: u8) -> bool {
        !self.partial && depth <= self.levels
    }

    /// The entries from `first` on.
    pub(super) fn from(&self, first: usize) -> &[Entry] {
        self.entries.get(first..).unwrap_or_default()
    }
}

/// Documents whose places do not fit are not noted.
fn span((start, end): (usize, usize)) -> Span {
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}
