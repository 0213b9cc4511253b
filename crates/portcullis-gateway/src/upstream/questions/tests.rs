//! Whose a question is, when nothing says so.

use portcullis_mcp::json::Limits;
use portcullis_mcp::message::Message;

use super::unclear::{HOLD, MOMENT, MOST_HELD};
use super::*;
use crate::call::Worker;
use crate::upstream::outgoing::Asker;

type Said = Arc<Mutex<Vec<String>>>;

fn questions(caps: ClientCaps) -> (Arc<Questions>, Respond, Said) {
    let questions =
        Questions::new(ServerId::parse("x").unwrap(), caps, Arc::default(), Pages::new(Arc::new(|_, _| {})));
    questions.agreed(Revision::V2025_11_25);
    let said = Said::default();
    let log = said.clone();
    let respond: Respond = Arc::new(move |message, _place| log.lock().unwrap().push(message.to_string()));
    (questions, respond, said)
}

fn request(id: u64, method: &str) -> Request {
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"message":"m"}}}}"#);
    match Message::parse(text.into(), Limits::default()).unwrap() {
        Message::Request(request) => request,
        _ => panic!("a request"),
    }
}

fn floor(questions: &Arc<Questions>, id: u64, owner: &str) -> Floor {
    floor_of(questions, id, Asker { owner: owner.into(), one_client: false, task: None })
}

fn floor_of(questions: &Arc<Questions>, id: u64, asker: Asker) -> Floor {
    let mut out = Outgoing::internal(Worker(0), Method::ToolsCall, None);
    out.asker = Some(asker);
    questions.enter(id, &out, None).unwrap()
}

/// As if all that is held had been so for this long.
fn held_for(questions: &Arc<Questions>, age: Duration) {
    for held in &mut questions.state().held {
        held.since = Instant::now().checked_sub(age).unwrap();
    }
}

/// A wait for the result of a task.
fn wait(questions: &Arc<Questions>, id: u64, owner: &str, task: &str) -> Floor {
    let mut out = Outgoing::internal(Worker(0), Method::TasksResult, None);
    out.asker = Some(Asker { owner: owner.into(), one_client: false, task: Some(task.into()) });
    questions.enter(id, &out, None).unwrap()
}

/// A question that says to which task it belongs.
fn of_task(id: u64, task: &str) -> Request {
    let meta = format!(r#"{{"io.modelcontextprotocol/related-task":{{"taskId":"{task}"}}}}"#);
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{ELICIT}","params":{{"message":"m","_meta":{meta}}}}}"#
    );
    match Message::parse(text.into(), Limits::default()).unwrap() {
        Message::Request(request) => request,
        _ => panic!("a request"),
    }
}

const ELICIT: &str = "elicitation/create";
const CANCEL: &str = r#""result":{"action":"cancel"}"#;

#[tokio::test]
async fn a_question_goes_to_the_only_call_under_way() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    questions.take(request(1, ELICIT), &respond);
    assert!(said.lock().unwrap()[0].contains(CANCEL), "outside any call there is nobody to ask");
    let mut floor = floor(&questions, 7, "a");
    questions.take(request(2, ELICIT), &respond);
    floor.asked().await.answer(Ok(Raw::from_static(r#"{"action":"accept"}"#)));
    assert_eq!(said.lock().unwrap()[1], r#"{"jsonrpc":"2.0","id":2,"result":{"action":"accept"}}"#);
}

#[tokio::test]
async fn one_of_many_waits_until_the_others_are_answered() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let (mut one, mut other) = (floor(&questions, 1, "a"), floor(&questions, 2, "b"));
    questions.take(request(9, ELICIT), &respond);
    assert!(one.asked.try_recv().is_err() && other.asked.try_recv().is_err());
    one.answered(None);
    drop(one);
    assert_eq!(other.asked().await.method, Method::CreateElicitation);
    assert!(said.lock().unwrap()[0].contains(CANCEL), "dropped, so answered");
}

#[tokio::test]
async fn the_question_of_a_cancelled_call_reaches_nobody_else() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let (one, mut other) = (floor(&questions, 1, "a"), floor(&questions, 2, "b"));
    questions.take(request(9, ELICIT), &respond);
    drop(one);
    assert!(other.asked.try_recv().is_err() && said.lock().unwrap()[0].contains(CANCEL));
    questions.take(request(10, ELICIT), &respond);
    assert!(other.asked.try_recv().is_err() && said.lock().unwrap()[1].contains(CANCEL));
    drop(other);
    // Its own next call may have it.
    let (questions, respond, _) = self::questions(ClientCaps::ELICIT_FORM);
    drop(floor(&questions, 1, "a"));
    let mut again = floor(&questions, 2, "a");
    questions.take(request(9, ELICIT), &respond);
    assert!(again.asked.try_recv().is_ok());
}

#[tokio::test]
async fn who_asks_like_this_gets_one_call_at_a_time() {
    let (questions, respond, _) = questions(ClientCaps::ELICIT_FORM);
    let mut one = floor(&questions, 1, "a");
    questions.take(request(9, ELICIT), &respond);
    one.answered(None);
    drop(one);
    assert!(questions.asks.any());
    let turn = questions.try_turn(&"a".into()).unwrap();
    assert!(questions.try_turn(&"b".into()).is_err());
    let mut out = Outgoing::internal(Worker(0), Method::ToolsCall, None);
    out.asker = Some(Asker { owner: "a".into(), one_client: false, task: None });
    let mut first = questions.enter(2, &out, turn).unwrap();
    assert!(questions.try_turn(&"b".into()).is_err());
    first.answered(None);
    drop(first);
    drop(questions.try_turn(&"b".into()).unwrap());
    // After a cancelled call its own caller may go on at once; others, when it is forgotten.
    drop(floor(&questions, 3, "a"));
    assert!(questions.try_turn(&"b".into()).is_err() && questions.try_turn(&"a".into()).is_ok());
}

#[tokio::test]
async fn what_stays_unclear_is_refused_in_time() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let (mut one, mut other) = (floor(&questions, 1, "a"), floor(&questions, 2, "b"));
    questions.take(request(9, ELICIT), &respond);
    held_for(&questions, MOMENT);
    assert!(
        questions.look_through() && said.lock().unwrap().is_empty(),
        "one of them may have an answer yet"
    );
    held_for(&questions, HOLD);
    assert!(!questions.look_through() && said.lock().unwrap()[0].contains(CANCEL));
    assert!(one.asked.try_recv().is_err() && other.asked.try_recv().is_err(), "nobody is asked");
    // What is asked from then on is held anew, and goes to the call that is left.
    questions.take(request(10, ELICIT), &respond);
    one.answered(None);
    drop(one);
    assert_eq!(other.asked().await.method, Method::CreateElicitation);
}

#[tokio::test]
async fn when_each_call_may_have_asked_waiting_is_in_vain() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM | ClientCaps::ROOTS);
    // They are one user's, who may have several clients.
    let (mut one, mut other) = (floor(&questions, 1, "a"), floor(&questions, 2, "a"));
    questions.take(request(9, ELICIT), &respond);
    questions.take(request(10, "roots/list"), &respond);
    assert!(questions.look_through(), "most calls are short");
    held_for(&questions, MOMENT);
    assert!(!questions.look_through());
    assert!(one.asked.try_recv().is_err() && other.asked.try_recv().is_err(), "nobody is asked");
    let said = said.lock().unwrap();
    assert!(said[0].contains(CANCEL) && said[1].contains("call again, and they are kept apart"), "{said:?}");
}

#[tokio::test]
async fn a_session_is_asked_what_any_of_its_calls_may_have_asked() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let session = |id| floor_of(&questions, id, Asker { owner: "a".into(), one_client: true, task: None });
    let (mut one, mut other) = (session(1), session(2));
    for id in [9, 10] {
        questions.take(request(id, ELICIT), &respond);
    }
    held_for(&questions, MOMENT);
    assert!(!questions.look_through());
    let (first, second) = (one.asked.try_recv().unwrap(), other.asked.try_recv().unwrap());
    first.answer(Ok(Raw::from_static(r#"{"action":"accept"}"#)));
    assert!(said.lock().unwrap()[0].contains(r#""id":9,"result":{"action":"accept"}"#));
    // The answer to the first question was what the second call waited for: what its client thinks about is the other's.
    other.answered(None);
    drop((second, other));
    assert_eq!(said.lock().unwrap().len(), 1, "it is not answered yet");
    one.asked.try_recv().unwrap().answer(Ok(Raw::from_static(r#"{"action":"decline"}"#)));
    assert!(said.lock().unwrap()[1].contains(r#""id":10,"result":{"action":"decline"}"#));
    // A question of a call that was cancelled is.
    let mut other = session(3);
    questions.take(request(11, ELICIT), &respond);
    held_for(&questions, MOMENT);
    questions.look_through();
    let lent = other.asked.try_recv().expect("the one that was given the fewest");
    drop((lent, other));
    assert!(said.lock().unwrap()[2].contains(CANCEL) && one.asked.try_recv().is_err());
}

#[tokio::test]
async fn so_much_is_held_and_what_is_withdrawn_is_not_answered() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let (one, other) = (floor(&questions, 1, "a"), floor(&questions, 2, "a"));
    for id in 0..20 {
        questions.take(request(id, ELICIT), &respond);
    }
    let cancelled = said.lock().unwrap().len();
    assert_eq!(cancelled, 20 - MOST_HELD, "only so many are held");
    questions.withdraw(Some(&Raw::from_static(r#"{"requestId":3}"#)));
    assert_eq!(questions.state().held.len(), MOST_HELD - 1);
    assert_eq!(said.lock().unwrap().len(), cancelled, "a withdrawn question gets no answer");
    drop((one, other));
    assert_eq!(said.lock().unwrap().len(), 19);
}

#[tokio::test]
async fn what_was_not_declared_is_declined_or_unknown_and_ping_is_answered() {
    let (questions, respond, said) = questions(ClientCaps::ROOTS);
    let mut floor = floor(&questions, 1, "a");
    for (id, method) in [(1, ELICIT), (2, "sampling/createMessage"), (3, "ping"), (4, "tasks/get")] {
        questions.take(request(id, method), &respond);
    }
    let said = said.lock().unwrap();
    assert!(said[0].contains(r#""result":{"action":"decline"}"#));
    assert!(said[1].contains("-32601") && said[3].contains("-32601"));
    assert_eq!(said[2], r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
    assert!(floor.asked.try_recv().is_err());
}

#[tokio::test]
async fn open_questions_are_bounded_and_their_ids_are_used_once() {
    let (questions, respond, said) = questions(ClientCaps::ROOTS);
    let mut floor = floor(&questions, 1, "a");
    questions.take(request(1, "roots/list"), &respond);
    questions.take(request(1, "roots/list"), &respond);
    assert!(said.lock().unwrap()[0].contains("-32600"));
    for id in 2..200 {
        questions.take(request(id, "roots/list"), &respond);
    }
    let mut open = Vec::new();
    while let Ok(question) = floor.asked.try_recv() {
        open.push(question);
    }
    assert_eq!(open.len(), MOST_OPEN);
    drop(open);
    questions.take(request(1, "roots/list"), &respond);
    assert!(floor.asked.try_recv().is_ok(), "places come back");
}

#[tokio::test]
async fn waits_for_tasks_get_their_own_questions_and_hold_up_nobody() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let (mut one, mut other) = (wait(&questions, 1, "a", "t1"), wait(&questions, 2, "b", "t2"));
    assert!(questions.try_turn(&"c".into()).is_ok(), "waiting is no turn");
    let mut call = floor(&questions, 3, "c");
    for (id, task) in [(10, "t2"), (11, "t1")] {
        questions.take(of_task(id, task), &respond);
    }
    questions.take(request(12, ELICIT), &respond);
    let mut got = Vec::new();
    for floor in [&mut one, &mut other, &mut call] {
        let question = floor.asked.try_recv().unwrap();
        question.answer(Ok(Raw::from_static(r#"{"action":"accept"}"#)));
        assert!(floor.asked.try_recv().is_err());
        got.push(said.lock().unwrap().last().unwrap().clone());
    }
    for (said, id) in got.iter().zip([11, 10, 12]) {
        assert!(said.contains(&format!("\"id\":{id},")), "{said}");
    }
    // Who gives up a wait leaves nothing behind that others would have to wait for.
    drop((one, other, call));
    assert!(questions.try_turn(&"c".into()).is_ok());
}

#[tokio::test]
async fn a_question_of_a_task_waits_for_who_waits_for_the_task_and_reaches_nobody_else() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let mut call = floor(&questions, 1, "a");
    questions.take(of_task(10, "t1"), &respond);
    let mut other = wait(&questions, 2, "b", "t2");
    call.answered(None);
    drop(call);
    assert!(other.asked.try_recv().is_err() && said.lock().unwrap().is_empty());
    let mut own = wait(&questions, 3, "a", "t1");
    assert!(own.asked.try_recv().is_ok());
}

#[tokio::test]
async fn a_server_that_does_not_say_which_task_it_means_gets_one_at_a_time() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let mut one = wait(&questions, 1, "a", "t1");
    questions.take(request(10, ELICIT), &respond);
    assert!(one.asked.try_recv().is_ok());
    assert!(questions.try_turn(&"b".into()).is_err());
    let mut call = floor(&questions, 2, "b");
    questions.take(request(11, ELICIT), &respond);
    assert!(call.asked.try_recv().is_err() && one.asked.try_recv().is_err());
    drop((one, call));
    assert!(said.lock().unwrap().iter().any(|said| said.contains(CANCEL)));
}

#[tokio::test]
async fn an_id_that_was_withdrawn_and_used_again_is_that_of_the_new_question() {
    let (questions, respond, said) = questions(ClientCaps::ELICIT_FORM);
    let mut call = floor(&questions, 7, "a");
    let withdraw = || questions.withdraw(Some(&Raw::from_static(r#"{"requestId":1}"#)));
    questions.take(request(1, ELICIT), &respond);
    let first = call.asked().await;
    withdraw();
    questions.take(request(1, ELICIT), &respond);
    let second = call.asked().await;
    drop(first);
    questions.take(request(1, ELICIT), &respond);
    assert_eq!(said.lock().unwrap().len(), 1, "the id is taken still");
    assert!(!second.withdrawn().is_cancelled());
    withdraw();
    assert!(second.withdrawn().is_cancelled());
    drop(second);
    assert_eq!(said.lock().unwrap().len(), 1, "nothing is said to what was withdrawn");
}
