//! A processor for each worker.
//!
//! The kernel wakes a worker wherever the peer that woke it runs. So now and then two workers share a processor for some
//! milliseconds while another has room, and every call on them waits that long: the slowest hundredth took three times as
//! long as with a processor for each (see `docs/decisions/0003-workers-and-runtimes.md`).
//!
//! Only where there are as many workers as processors. Where a quota allows fewer, as in a container, copies of the
//! program on one machine would all settle on its first processors.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of `workers` threads; `None` when they are to run where the kernel puts them.
pub(super) fn for_each(workers: usize) -> Option<Vec<usize>> {
    let allowed = sched_getaffinity(None).ok()?;
    let allowed: Vec<_> = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
    (allowed.len() == workers).then_some(allowed)
}

/// Keeps the current thread on a processor; where that is not allowed, it runs anywhere.
pub(super) fn stay_on(processor: usize) {
    let mut only = CpuSet::new();
    only.set(processor);
    if let Err(error) = sched_setaffinity(None, &only) {
        tracing::debug!(processor, error = %error, "a worker runs on any processor");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_workers_as_processors_have_one_each() {
        let all = std::thread::available_parallelism().unwrap().get();
        assert_eq!(for_each(usize::MAX), None);
        let Some(processors) = for_each(all) else { return };
        std::thread::spawn(move || {
            stay_on(processors[all - 1]);
            assert_eq!(for_each(1), Some(vec![processors[all - 1]]));
        })
        .join()
        .unwrap();
    }
}
