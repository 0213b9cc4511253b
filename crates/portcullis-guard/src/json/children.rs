//! The members or elements of a value on the way through it, as far as some may have to be taken out.

use super::edit::Edit;

/// A member or element, for taking it out.
struct Child {
    start: usize,
    end: usize,
    dropped: bool,
}

/// The members or elements of one value; kept only when one of them may have to be taken out.
pub(super) struct Children {
    pub(super) count: usize,
    kept: Option<Vec<Child>>,
    /// How many edits there are of what stands before them.
    edits: usize,
}

impl Children {
    pub(super) fn new(may_drop: bool, edits: &[Edit]) -> Self {
        Self { count: 0, kept: may_drop.then(Vec::new), edits: edits.len() }
    }

    pub(super) fn push(&mut self, start: usize, end: usize, dropped: bool) {
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(Child { start, end, dropped });
        }
    }

    /// Takes out those that are dropped, each with one of the commas beside it.
    pub(super) fn take_out(self, edits: &mut Vec<Edit>) {
        let children = self.kept.unwrap_or_default();
        let mut gone = Vec::new();
        let mut kept = false;
        for (index, child) in children.iter().enumerate() {
            if !child.dropped {
                kept = true;
                continue;
            }
            let start = if kept { children[index - 1].end } else { child.start };
            let end = match children.get(index + 1) {
                Some(next) if !kept => next.start,
                _ => child.end,
            };
            gone.push(Edit { start, end, text: String::new() });
        }
        if gone.is_empty() {
            return;
        }
        let stays = |edit: &Edit| {
            let next = gone.partition_point(|gone| gone.end <= edit.start);
            gone.get(next).is_none_or(|gone| edit.end <= gone.start)
        };
        let inside = edits.split_off(self.edits);
        edits.extend(inside.into_iter().filter(stays));
        edits.append(&mut gone);
    }
}
