//! What a reverse proxy in a container does with a request: it asks somebody else, and passes the answer on.
//!
//! Picture to hold in mind: a messenger with somebody else's letter. He asks at the desk ([`crate::ingress_nginx`]) whose
//! it is, knocks there, tries the next door when nobody opens, and carries the answer back to whoever sent the letter.
//!
//! Follows nginx with ingress-nginx' settings: `proxy_next_upstream_tries` 3, `proxy_connect_timeout` 5 s.

use crate::api::Text;
use crate::language::Context;
use crate::message::Message;
use crate::message::node::{Letter, NodeMessage, Payload, Question, Reached, Said};
use crate::network::packet::{Packet, Protocol};
use crate::network::trace::Spot;
use crate::sim::ActorId;

use super::ContainerEngine;
use super::container::Container;
use super::talk::{Ask, Asker, TIMED_OUT};

const PROGRAM: &str = "nginx-ingress-controller";
const TRIES: u8 = 3;
const TIMEOUT_SECONDS: u64 = 5;

/// nginx's own page.
fn page(status: u16) -> Said {
    let reason = match status {
        308 => "Permanent Redirect",
        404 => "Not Found",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "Bad Gateway",
    };
    let body = arcstr::format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    Said::Http(status, body)
}

impl ContainerEngine {
    /// The container of a sandbox that runs a program that is an actor.
    pub(super) fn daemon_in(&self, sandbox: &str, program: &str) -> Option<(Text, ActorId)> {
        let is_it = |one: &&Container| one.sandbox == sandbox && one.is_running() && one.runs(program);
        let container = self.containers().find(is_it)?;
        Some((container.id.clone(), self.config.daemon_of(container)?))
    }

    /// A request has arrived at a program; false: it is not one that passes it on.
    pub(super) fn passes_on(
        &mut self,
        at: Spot,
        packet: &Packet,
        letter: &Letter,
        context: &mut Context,
    ) -> bool {
        let Payload::Ask(Question::Http { path, .. }) = &letter.payload else { return false };
        if packet.protocol != Protocol::Tcp || !matches!(packet.destination_port, 80 | 443) || path.is_empty()
        {
            return false;
        }
        let Some((id, ..)) = self.keep_query(PROGRAM, at, packet, letter, context.now()) else {
            return false;
        };
        self.forward(id, context);
        true
    }
    fn forward(&mut self, id: u64, context: &mut Context) -> bool {
        let Some(query) = self.state.queries.get(&id) else { return false };
        let Payload::Ask(Question::Http { host, path }) = &query.letter.payload else { return false };
        let Some((_, actor)) = self.daemon_in(&query.sandbox, PROGRAM) else { return false };
        let forward = NodeMessage::Forward {
            id,
            host: host.clone(),
            path: path.clone(),
            is_tls: query.packet.destination_port == 443,
        };
        context.send(actor, Message::node(forward));
        true
    }

    /// The desk has said where to: an endpoint, or the status of a page.
    pub(super) fn upstream(&mut self, id: u64, to: Result<(Text, u16), u16>, context: &mut Context) {
        match to {
            Err(status) => self.answer_query(id, Ok(page(status)), context),
            Ok((address, port)) => {
                let Some(query) = self.state.queries.get(&id) else { return };
                let Payload::Ask(question) = query.letter.payload.clone() else { return };
                let (sandbox, is_load) = (query.sandbox.clone(), query.letter.is_load);
                let ask = Ask { address, port, question, timeout_seconds: TIMEOUT_SECONDS };
                self.ask(Asker::Proxy { query: id, is_load }, &sandbox, ask, context);
            }
        }
    }
    /// What came of it.
    pub(super) fn proxied(&mut self, id: u64, reached: Reached, context: &mut Context) {
        let Some(query) = std::sync::Arc::make_mut(&mut self.state).queries.get_mut(&id) else { return };
        query.tries += 1;
        let has_more = query.tries < TRIES;
        match reached {
            Err(_) if has_more && self.forward(id, context) => {}
            Err(TIMED_OUT) => self.answer_query(id, Ok(page(504)), context),
            Err(_) => self.answer_query(id, Ok(page(502)), context),
            said => self.answer_query(id, said, context),
        }
    }
}
