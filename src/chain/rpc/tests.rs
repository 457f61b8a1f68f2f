//! The client against a node that answers by script.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

/// A node that gives each connection the next of these answers (status, body) and hangs up; after the last
/// one it stays silent. Its address carries a key.
pub(in crate::chain) fn node(answers: Vec<(u16, String)>) -> Rpc {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut stream);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            // The client hangs up on an answer that is too large.
            drop(
                stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(body.as_bytes())),
            );
        }
        let _silent = listener.accept().unwrap();
        std::thread::sleep(Duration::from_secs(5));
    });
    let url = format!("http://127.0.0.1:{port}/key/SECRETKEY0123?token=OTHERSECRET");
    Rpc::new("eip155:1".parse().unwrap(), 0, &url, Duration::from_millis(300)).unwrap()
}

fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).unwrap();
        seen.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return;
            }
        }
    }
}

async fn ask(status: u16, body: &str) -> Result<String, RpcError> {
    let rpc = node(vec![(status, body.to_owned())]);
    let result = rpc.call("trial", "eth_chainId", &[(); 0]).await;
    result.map(|it| it.get().to_owned())
}

#[tokio::test]
async fn only_the_answer_to_this_very_question_is_one() {
    assert_eq!(
        ask(200, r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#).await.unwrap(),
        r#""0x1""#
    );
    assert_eq!(ask(200, r#"{"id":1,"result":null}"#).await.unwrap(), "null");
    assert_eq!(ask(200, r#"{"id":1,"error":null,"result":{}}"#).await.unwrap(), "{}");
    for (status, body) in [
        (200, ""),
        (200, "<html>"),
        (200, r#"{"id":1}"#),
        (200, r#"{"id":2,"result":1}"#),
        (200, r#"{"id":"1","result":1}"#),
        (200, r#"{"id":null,"result":1}"#),
        (200, r#"[{"id":1,"result":1}]"#),
        (503, r#"{"id":1,"result":1}"#),
        (502, "<html>Bad gateway</html>"),
        (302, ""),
    ] {
        let answer = ask(status, body).await;
        assert!(matches!(answer, Err(RpcError::Fault(_))), "{status} {body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_node_s_error_is_an_answer_whatever_the_status() {
    for status in [200, 400, 429] {
        for id in ["1", "null"] {
            let body = format!(r#"{{"id":{id},"error":{{"code":3,"message":"reverted\u0000","data":"0xab"}}}}"#);
            let Err(RpcError::Node { code, message, data }) = ask(status, &body).await else {
                panic!("{status} {id}");
            };
            assert_eq!(
                (code, message.as_str(), data.as_deref()),
                (3, "reverted ", Some("0xab"))
            );
        }
    }
}

#[tokio::test]
async fn a_batch_is_matched_by_id_and_complete() {
    let calls = vec![
        Call {
            method: "eth_chainId",
            params: Value::Array(Vec::new()),
        };
        2
    ];
    let rpc = node(vec![(
        200,
        r#"[{"id":2,"result":"b"},{"id":1,"error":{"code":-1,"message":"a"}}]"#.into(),
    )]);
    let answers = rpc.batch("trial", &calls).await.unwrap();
    assert!(matches!(&answers[0], Err(RpcError::Node { code: -1, .. })));
    assert_eq!(answers[1].as_ref().unwrap().get(), r#""b""#);
    for body in [
        r#"[{"id":1,"result":1}]"#,
        r#"[{"id":1,"result":1},{"id":1,"result":1}]"#,
        r#"[{"id":1,"result":1},{"id":2,"result":1},{"id":3,"result":1}]"#,
        r#"{"id":null,"error":{"code":-32600,"message":"no batches"}}"#,
        "no",
    ] {
        let rpc = node(vec![(200, body.into())]);
        assert!(rpc.batch("trial", &calls).await.is_err(), "{body}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_a_fault_and_splits_a_batch() {
    let large = "x".repeat(RESPONSE_BYTES_MAX + 1);
    let Err(RpcError::Fault(fault)) = ask(200, &large).await else {
        panic!("read");
    };
    assert!(fault.cause.contains("larger than"), "{fault}");
    let call = Call {
        method: "eth_chainId",
        params: Value::Array(Vec::new()),
    };
    let rpc = node(vec![
        (200, large),
        (200, r#"[{"id":4,"result":4},{"id":5,"result":5}]"#.into()),
        (200, r#"[{"id":6,"result":6}]"#.into()),
    ]);
    let answers = rpc.batch("trial", &[call.clone(), call.clone(), call]).await.unwrap();
    let texts: Vec<_> = answers.iter().map(|answer| answer.as_ref().unwrap().get()).collect();
    assert_eq!(texts, ["4", "5", "6"]);
}

#[tokio::test]
async fn no_text_names_the_endpoint() {
    let echo = r#"{"id":1,"error":{"code":1,"message":"no /key/SECRETKEY0123 at 127.0.0.1 for OTHERSECRET"}}"#;
    let silent = node(Vec::new());
    let refusing = {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://user:SECRETPASSWORD@127.0.0.1:{port}/SECRETKEY0123");
        Rpc::new("eip155:1".parse().unwrap(), 0, &url, TIMEOUT_DEFAULT).unwrap()
    };
    let texts = [
        ask(200, echo).await.unwrap_err().to_string(),
        silent
            .call("trial", "eth_chainId", &[(); 0])
            .await
            .unwrap_err()
            .to_string(),
        refusing
            .call("trial", "eth_chainId", &[(); 0])
            .await
            .unwrap_err()
            .to_string(),
        format!("{refusing:?}"),
        Rpc::new("eip155:1".parse().unwrap(), 0, "ftp://SECRETKEY0123", TIMEOUT_DEFAULT).unwrap_err(),
    ];
    for text in texts {
        assert!(!text.contains("SECRET") && !text.contains("127.0.0.1"), "{text}");
        assert!(text.chars().count() < 400 && !text.is_empty());
    }
}

#[test]
fn texts_are_bounded_and_printable() {
    assert_eq!(bounded("a\r\nb\u{7}"), "a  b ");
    assert_eq!(bounded(&"ü".repeat(1000)).chars().count(), 300);
}
