//! What guards a change against another operator's: the generation that has to serve.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use super::problem::Problem;

/// The generation that the caller goes by (RFC 9110, section 13.1.1); none: any.
pub(super) struct IfMatch(pub(super) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(IfMatch(None));
        };
        let text = value.to_str().unwrap_or_default();
        if text == "*" {
            return Ok(IfMatch(None));
        }
        let quoted = text.strip_prefix('"');
        // Without quotes it is no entity tag, but there is no doubt about what is meant.
        let number = quoted.map_or(Some(text), |text| text.strip_suffix('"'));
        let number = number.and_then(|number| number.parse().ok());
        number.map(|number| IfMatch(Some(number))).ok_or_else(|| {
            let wanted = "If-Match has to be the number of a generation, as ETag has it";
            Problem::new(StatusCode::BAD_REQUEST, wanted)
        })
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r#"^(\*|[0-9]{1,18}|"[0-9]{1,18}")$"#));
        let parameter = ParameterBuilder::new()
            .name("if-match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The generation that has to serve, in quotes, as `ETag` has it",
            ))
            .schema(Some(schema));
        vec![parameter.build()]
    }
}

/// The number of a generation as `ETag` has it.
pub(super) fn etag(generation: u64) -> String {
    format!("\"{generation}\"")
}
