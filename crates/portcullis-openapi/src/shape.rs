//! Which request a tool is, as its definition says it: in `_meta`, for whoever approves definitions.
//!
//! Two documents can describe a tool in the same words and the same schemas and mean requests that have nothing to do with each
//! other: to another host, with the arguments in other places, under other names. So what the document decides of the request
//! beside method and path is part of the definition, and whoever pins definitions pins it. It is written out, and no
//! digest, so that a person who is shown the change sees what it is. What the operator decides is not in it.

use portcullis_mcp::json::{Raw, Writer, write_string};

use crate::body::Body;
use crate::operation::Operation;
use crate::parameter::Parameter;
use crate::style::Style;

/// The member of `_meta`.
pub const REQUEST: &str = "io.portcullis/request";

impl Operation {
    /// `{"server": URL, "arguments": [[ARGUMENT, PLACE, NAME, HOW…]…]}`, where lists of texts can be read in one way alone. The
    /// server is there where nobody but the document says it.
    pub(crate) fn shape(&self, server: Option<&str>) -> Raw {
        let rows = self.parameters.iter().map(of_parameter);
        let rows: Vec<Vec<&str>> = rows.chain(self.body.iter().flat_map(Body::shape)).collect();
        let mut out = Vec::new();
        let mut members = Writer::begin(&mut out);
        if let Some(server) = server {
            members.text("server", server);
        }
        let arguments = members.key("arguments");
        arguments.push(b'[');
        for (index, row) in rows.iter().enumerate() {
            arguments.extend_from_slice(if index > 0 { &b",["[..] } else { b"[" });
            for (index, text) in row.iter().enumerate() {
                if index > 0 {
                    arguments.push(b',');
                }
                write_string(arguments, text);
            }
            arguments.push(b']');
        }
        arguments.push(b']');
        members.end();
        Raw::trusted(out)
    }
}

fn of_parameter(parameter: &Parameter) -> Vec<&str> {
    let mut row = vec![&*parameter.argument, parameter.place.as_str(), &parameter.name];
    row.extend(written(parameter.style, parameter.explode));
    row.extend(parameter.reserved.then_some("allowReserved"));
    row.extend(parameter.as_json.then_some("json"));
    row
}

/// How a value is written.
pub(crate) fn written<'a>(style: Style, explode: bool) -> impl Iterator<Item = &'a str> {
    let words: [Option<&'a str>; 2] = [Some(style.as_str()), explode.then_some("explode")];
    words.into_iter().flatten()
}
