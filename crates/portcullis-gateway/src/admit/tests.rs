//! Limits hold, and places are given back.

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Revision;

use super::*;
use crate::call::{Caller, fixture};

fn call(under_way: &Arc<AtomicUsize>) -> Arc<Call> {
    let mut call = fixture::call(Revision::NEWEST, ClientCaps::NONE, "{}");
    call.caller = Arc::new(Caller { under_way: under_way.clone(), ..Caller::clone(&call.caller) });
    Arc::new(call)
}

#[test]
fn refuses_beyond_a_limit_and_gives_places_back() {
    let limits = Limits { concurrent_calls: 3, concurrent_per_client: 2, ..Limits::default() };
    let (all, one, other) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let first = admit(call(&one), &all, &limits).ok();
    let second = admit(call(&one), &all, &limits).ok();
    assert!(first.is_some() && second.is_some());
    assert_eq!(
        admit(call(&one), &all, &limits).err().map(|(_, refusal)| refusal.kind),
        Some(ErrorKind::TooManyRequests)
    );
    let third = admit(call(&other), &all, &limits).ok();
    assert!(third.is_some());
    assert_eq!(
        admit(call(&other), &all, &limits).err().map(|(_, refusal)| refusal.kind),
        Some(ErrorKind::Overloaded)
    );
    drop((first, second, third));
    assert_eq!(
        (all.load(Ordering::Relaxed), one.load(Ordering::Relaxed), other.load(Ordering::Relaxed)),
        (0, 0, 0)
    );
}
