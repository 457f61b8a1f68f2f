//! From which address a client asks, and what one hears who asks too often.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::app::turnstile::{Rate, Refusal, Turnstile, Whose};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A server's quotas, and what is left of them (draft-ietf-httpapi-ratelimit-headers-10).
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Who is at the other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Counts the request for its client's address.
pub(super) fn pass_address(turnstile: &Turnstile, request: &Request) -> Result<(), Refusal> {
    match request.extensions().get::<Peer>() {
        Some(Peer(peer)) => turnstile.pass_address(client(*peer, request.headers(), turnstile.trusted_hops())),
        None => Ok(()),
    }
}

/// The client's address: what the proxy farthest from us that is trusted says it heard. Proxies add to the right, so whatever
/// the client wrote itself stands further to the left than is looked. Where one has added nothing that can be read, the
/// nearest address that can be is taken.
fn client(peer: IpAddr, headers: &HeaderMap, trusted_hops: u8) -> IpAddr {
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let heard = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let heard = heard.take(trusted_hops.into()).map_while(read);
    heard.last().unwrap_or(peer)
}

/// An address as proxies write it; some add the port.
fn read(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
    text.parse().ok().or_else(with_port)
}

/// Says in headers what the rate is, that nothing is left of it, and for how long.
pub(super) fn tell(headers: &mut HeaderMap, whose: Whose, rate: Rate, seconds: u64) {
    let (name, window) = (whose.as_str(), rate.window().as_secs().max(1));
    let policy = format!("\"{name}\";q={};w={window}", rate.burst);
    let left = format!("\"{name}\";r=0;t={seconds}");
    for (header, text) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(header, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn only_what_trusted_proxies_have_added_says_who_the_client_is() {
        let peer = "10.0.0.9";
        for (lines, hops, expected) in [
            (&[][..], 0, peer),
            (&[], 2, peer),
            (&["192.0.2.1"], 0, peer),
            (&["192.0.2.1"], 1, "192.0.2.1"),
            (&["192.0.2.1, 198.51.100.7"], 1, "198.51.100.7"),
            (&["192.0.2.1, 198.51.100.7"], 2, "192.0.2.1"),
            // More proxies are trusted than there were: the first of them is the farthest that says anything.
            (&["192.0.2.1"], 3, "192.0.2.1"),
            // Several lines are one list.
            (&["192.0.2.1", "198.51.100.7"], 1, "198.51.100.7"),
            (&["192.0.2.1", "198.51.100.7"], 2, "192.0.2.1"),
            // Whatever is no address ends what is believed.
            (&["192.0.2.1, unknown"], 1, peer),
            (&["192.0.2.1, unknown, 198.51.100.7"], 3, "198.51.100.7"),
            (&["192.0.2.1,"], 2, peer),
            (&["\u{e9}"], 1, peer),
            (&["192.0.2.1:4711"], 1, "192.0.2.1"),
            (&["2001:db8::1"], 1, "2001:db8::1"),
            (&["[2001:db8::1]:4711"], 1, "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            let found = client(peer.parse().unwrap(), &headers, hops);
            assert_eq!(found.to_string(), expected, "{lines:?} by {hops}");
        }
    }

    #[test]
    fn the_rate_is_told_as_the_draft_has_it() {
        let mut headers = HeaderMap::new();
        let rate = Rate {
            per_minute: NonZeroU32::new(60).unwrap(),
            burst: NonZeroU32::new(90).unwrap(),
        };
        tell(&mut headers, Whose::Payer, rate, 12);
        assert_eq!(headers["ratelimit-policy"], "\"payer\";q=90;w=90");
        assert_eq!(headers["ratelimit"], "\"payer\";r=0;t=12");
    }
}
