//! The examples and edge cases of the specification, and that what is written can be read.

use proptest::prelude::*;

use super::{ParseTraceparentError as Error, *};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn check(traceparent: &str, expect: Result<&str, Error>) {
    let read = traceparent.parse::<TraceContext>().map(|context| context.to_string());
    assert_eq!(read, expect.map(str::to_owned), "{traceparent:?}");
}

#[test]
fn reads_what_the_specification_allows() {
    let sampled = format!("00-{TRACE}-{SPAN}-01");
    let quiet = format!("00-{TRACE}-{SPAN}-00");
    check(&sampled, Ok(&sampled));
    check(&quiet, Ok(&quiet));
    // The random flag of level 2 stays, unknown flags go.
    check(&format!("00-{TRACE}-{SPAN}-03"), Ok(&format!("00-{TRACE}-{SPAN}-03")));
    check(&format!("00-{TRACE}-{SPAN}-ff"), Ok(&format!("00-{TRACE}-{SPAN}-03")));
    check(&format!("00-{TRACE}-{SPAN}-fc"), Ok(&quiet));
    // A later version is read as far as it is known.
    check(&format!("01-{TRACE}-{SPAN}-01"), Ok(&sampled));
    check(&format!("cc-{TRACE}-{SPAN}-01-what-comes-then"), Ok(&sampled));
    check(&format!("fe-{TRACE}-{SPAN}-01-"), Ok(&sampled));
}

#[test]
fn refuses_what_the_specification_forbids() {
    let zeros = "0".repeat(32);
    check("", Err(Error::Shape));
    check("00", Err(Error::Shape));
    check(&format!("00-{TRACE}-{SPAN}"), Err(Error::Shape));
    check(&format!("00-{TRACE}-{SPAN}-0"), Err(Error::Shape));
    check(&format!("00-{TRACE}-{SPAN}-01-"), Err(Error::Shape));
    check(&format!("00-{TRACE}-{SPAN}-01 "), Err(Error::Shape));
    check(&format!(" 00-{TRACE}-{SPAN}-01"), Err(Error::Hex));
    check(&format!("01-{TRACE}-{SPAN}-01.what"), Err(Error::Shape));
    check(&format!("00_{TRACE}-{SPAN}-01"), Err(Error::Shape));
    check(&format!("00-{TRACE}_{SPAN}-01"), Err(Error::Shape));
    check(&format!("00-{TRACE}-{SPAN}_01"), Err(Error::Shape));
    check(&format!("ff-{TRACE}-{SPAN}-01"), Err(Error::Version));
    check(&format!("FF-{TRACE}-{SPAN}-01"), Err(Error::Hex));
    check(&format!("0g-{TRACE}-{SPAN}-01"), Err(Error::Hex));
    check(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), Err(Error::Hex));
    check(&format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), Err(Error::Hex));
    check(&format!("00-{TRACE}-{SPAN}-0x"), Err(Error::Hex));
    check(&format!("00-{zeros}-{SPAN}-01"), Err(Error::ZeroId));
    check(&format!("00-{TRACE}-{}-01", &zeros[..16]), Err(Error::ZeroId));
    check(&"é".repeat(28), Err(Error::Hex));
}

#[test]
fn passes_tracestate_on_or_drops_it_whole() {
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let passes = |state: &str| {
        let context = TraceContext::parse(&traceparent, Some(state)).expect("the traceparent is valid");
        assert_eq!(context.to_string(), traceparent, "the traceparent survives {state:?}");
        match context.tracestate() {
            Some(passed) => passed == state,
            None => false,
        }
    };
    let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    for good in [
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "a=1 , b=2,\tc=3",
        "a=1,,b=2",
        "1tenant@sys=x y",
        "a=<!\">",
    ] {
        assert!(passes(good), "{good:?}");
    }
    assert!(passes(&members(32)));
    assert!(passes(&format!("a={},b={}", "x".repeat(256), "y".repeat(251))));
    for bad in
        ["", " ", ",", "a", "a=", "=a", "A=1", "a=b=c", "a=\u{e9}", "a=1\r\nx: y", "a=1,a=2", "-a=1", "a b=1"]
    {
        assert!(!passes(bad), "{bad:?}");
    }
    assert!(!passes(&members(33)));
    assert!(!passes(&format!("a={}", "x".repeat(257))));
    assert!(!passes(&format!("a={},b={}", "x".repeat(256), "y".repeat(252))));
}

#[test]
fn ids_are_never_zero() {
    assert_eq!(TraceId::new([0; 16]), None);
    assert_eq!(SpanId::new([0; 8]), None);
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(trace: [u8; 16], span: [u8; 8], sampled: bool) {
        prop_assume!(trace != [0; 16] && span != [0; 8]);
        let context =
            TraceContext::new(TraceId::new(trace).expect("not zero"), SpanId::new(span).expect("not zero"), sampled);
        prop_assert_eq!(context.to_string().parse(), Ok(context));
    }

    #[test]
    fn no_text_is_taken_for_more_than_it_is(text in "[0-9a-fA-F-]{50,60}|.{0,80}", state in ".{0,80}") {
        if let Ok(context) = TraceContext::parse(&text, Some(&state)) {
            prop_assert_eq!(&context.to_string()[3..52], &text[3..52]);
            prop_assert!(context.tracestate().is_none_or(|passed| passed == state));
        }
    }
}
