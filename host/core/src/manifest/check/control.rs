//! `host.control`: the control API over TCP.
use super::super::ControlSettings;
use super::super::file::ControlFile;
use super::super::mistake::Mistake;
use super::super::read::Entry;
use super::Checker;
use crate::spanned::Spanned;

impl Checker {
    pub(super) fn control(&mut self, file: &Spanned<ControlFile>) -> Option<ControlSettings> {
        let span = || file.span.clone();
        let (of, listen) = ("`control`", "listen = \"127.0.0.1:7070\"");
        let listen = self.required(&file.listen, "listen", span(), of, listen);
        let token = "token-file = \"control.token\"";
        let token_file = self.required(&file.token_file, "token-file", span(), of, token);
        let tls = match &file.tls {
            None => Some(None),
            Some(Entry::Bad) => None,
            Some(Entry::Good(tls)) => self.tls(tls).map(Some),
        };
        let settings = ControlSettings {
            listen: listen?.clone().map(|listen| listen.0),
            token_file: token_file?.clone(),
            tls: tls?,
        };
        if settings.tls.is_none() && !settings.listen.ip().is_loopback() {
            let message = "the control API is served over the network without TLS";
            self.warnings.push(
                Mistake::new("open-control", settings.listen.span.clone(), message)
                    .label("whoever sees a request on its way has the token")
                    .help("add tls = { cert = …, key = … }, or listen on 127.0.0.1"),
            );
        }
        Some(settings)
    }
}
