//! The members or elements of a value on the way through it, as far as some may have to be taken out.

/// A member or element, for taking it out.
pub(super) struct Child {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) dropped: bool,
}

/// The members or elements of one value; kept only when one of them may have to be taken out.
pub(super) struct Children {
    pub(super) count: usize,
    kept: Option<Vec<Child>>,
}

impl Children {
    pub(super) fn new(may_drop: bool) -> Self {
        Self { count: 0, kept: may_drop.then(Vec::new) }
    }

    pub(super) fn push(&mut self, start: usize, end: usize, dropped: bool) {
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(Child { start, end, dropped });
        }
    }

    /// All of them, if any is to be taken out.
    pub(super) fn dropped(self) -> Vec<Child> {
        self.kept.filter(|kept| kept.iter().any(|child| child.dropped)).unwrap_or_default()
    }
}
