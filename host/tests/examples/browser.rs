//! Somebody with a browser: keeps cookies, sends forms, follows redirects.

use std::collections::BTreeMap;

use crate::fixture::{Host, full, request};

/// See the module.
pub(crate) struct Browser<'a> {
    host: &'a Host,
    cookies: BTreeMap<String, String>,
}

/// What came of a click.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) text: String,
}

impl Browser<'_> {
    pub(crate) fn at(host: &Host) -> Browser<'_> {
        Browser {
            host,
            cookies: BTreeMap::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.ask("GET", path, "").await
    }

    /// Sends a form, and follows the redirect that answers it.
    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Page {
        let page = self.ask("POST", path, form).await;
        match page.location.clone() {
            Some(to) if page.status == 303 => self.get(&to).await,
            _ => page,
        }
    }

    /// The same without following.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, form: &str) -> Page {
        let mut asked = request(method, path, full(form.to_owned()));
        let headers = asked.headers_mut();
        let cookies = self.cookies.iter();
        let cookies: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        headers.insert("cookie", cookies.join("; ").parse().unwrap());
        let kind = "application/x-www-form-urlencoded".parse().unwrap();
        headers.insert("content-type", kind);
        let reply = self.host.ask(asked).await;
        for cookie in reply.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = reply.headers.get("location");
        Page {
            status: reply.status.as_u16(),
            location: location.map(|to| to.to_str().unwrap().to_owned()),
            text: reply.text().to_owned(),
        }
    }

    pub(crate) fn forget_everything(&mut self) {
        self.cookies.clear();
    }
}

impl Page {
    /// The same page, if it has this status and says all this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16, texts: &[&str]) -> Page {
        assert_eq!(self.status, status, "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "no {text:?} in {}", self.text);
        }
        self
    }

    /// The value of a hidden field of its form.
    #[track_caller]
    pub(crate) fn hidden(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let at = self.text.find(&field);
        let at = at.unwrap_or_else(|| panic!("no {name} in {}", self.text));
        let value = &self.text[at + field.len()..];
        value[..value.find('"').unwrap()].to_owned()
    }
}
