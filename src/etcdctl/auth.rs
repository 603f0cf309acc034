//! `user`, `role`, `auth`: the visitors' book.
//!
//! Picture to hold in mind: lines in a book, each with a name and what its bearer may touch.

use super::client::{Client, connect};
use super::json::{self, bytes, list, number, object, quote};
use super::keys::prefix_end;
use super::print::{Format, format_without_table, header, header_fields, plain};
use super::{Order, Outcome, exit, fail};
use crate::api::Text;
use crate::arrange::Gather;
use crate::message::auth::{AuthOutcome, AuthRequest, Permission};
use crate::message::etcd::{Operation, Outcome as Answered, Response};
use crate::shell::Cli;

type Answer = std::sync::Arc<Response>;

/// None of these commands has a deadline but the server's.
fn ask(cli: &mut Cli, order: &Order, client: &Client, request: AuthRequest) -> Outcome<Answer> {
    let method: String = request
        .name()
        .split([' ', '-'])
        .map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]))
        .collect();
    client.call(cli, order, &format!("Auth/{method}"), &Operation::Auth(request), None)
}
fn change(cli: &mut Cli, order: &Order, request: AuthRequest, simple: &str) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let response = ask(cli, &order, &client, request)?;
    plain(cli, &order, &response, true, &format!("{simple}\n"))
}

fn operands<const N: usize>(order: &Order, words: &str) -> Outcome<[Text; N]> {
    let texts: Vec<Text> = order.operands.iter().map(|word| Text::from(word.as_str())).collect();
    texts.try_into().or_else(|_| fail(exit::BAD_ARGS, words))
}

fn names(cli: &mut Cli, order: &Order, request: AuthRequest, field: &'static str, words: &str) -> Outcome {
    if !order.operands.is_empty() {
        return fail(exit::BAD_ARGS, words);
    }
    let (order, client) = connect(cli, order)?;
    let response = ask(cli, &order, &client, request)?;
    let Ok(Answered::Auth(AuthOutcome::Names(names))) = &response.result else { return Ok(()) };
    match format_without_table(&order)? {
        Format::Json => {
            let all = list(names.iter().map(|name| json::text(name)));
            cli.println(object([("header", Some(header(&response, true))), (field, all)]));
        }
        Format::Fields if field == "users" => {
            return fail(exit::BAD_FEATURE, "fields not supported as output format");
        }
        Format::Fields => {
            let all: String = names.iter().map(|name| format!(" {}", quote(name))).collect();
            cli.print(format!("{}\"Roles\" :{all}\n", header_fields(&order, &response, true)));
        }
        _ => names.iter().for_each(|name| cli.println(name)),
    }
    Ok(())
}

pub fn user_list(cli: &mut Cli, order: &Order) -> Outcome {
    names(cli, order, AuthRequest::UserList, "users", "user list command requires no arguments")
}
pub fn role_list(cli: &mut Cli, order: &Order) -> Outcome {
    names(cli, order, AuthRequest::RoleList, "roles", "role list command requires no arguments")
}

/// A password that is typed twice; there is no terminal that would hide it, so it is read as two lines.
fn typed(cli: &mut Cli, order: &Order, name: &str) -> Outcome<Text> {
    let input = cli.stdin()?;
    let mut lines = input.lines();
    let first = lines.next().unwrap_or("");
    if !order.flags.switch("interactive") {
        return Ok(first.trim().into());
    }
    cli.print(format!("Password of {name}: "));
    if first.is_empty() {
        return fail(exit::BAD_ARGS, "empty password");
    }
    cli.print(format!("\nType password of {name} again for confirmation: "));
    cli.print("\n");
    match lines.next() {
        Some(second) if second == first => Ok(first.into()),
        _ => fail(exit::BAD_ARGS, "given passwords are different"),
    }
}

pub fn user_add(cli: &mut Cli, order: &Order) -> Outcome {
    let [given] = operands(order, "user add command requires user name as its argument")?;
    let no_password = order.flags.switch("no-password");
    let flag = order.flags.text("new-user-password");
    let (name, password): (Text, Text) = if no_password {
        (given, Text::new())
    } else if !flag.is_empty() {
        (given, flag.into())
    } else if let Some((name, password)) = given.split_once(':') {
        if name.is_empty() {
            return fail(exit::BAD_ARGS, "empty user name is not allowed");
        }
        (name.into(), password.into())
    } else {
        let password = typed(cli, order, &given)?;
        (given, password)
    };
    let simple = format!("User {name} created");
    change(cli, order, AuthRequest::UserAdd { name, password, no_password }, &simple)
}
pub fn user_delete(cli: &mut Cli, order: &Order) -> Outcome {
    let [name] = operands(order, "user delete command requires user name as its argument")?;
    let simple = format!("User {name} deleted");
    change(cli, order, AuthRequest::UserDelete { name }, &simple)
}
pub fn user_password(cli: &mut Cli, order: &Order) -> Outcome {
    let [name] = operands(order, "user passwd command requires user name as its argument")?;
    let password = typed(cli, order, &name)?;
    change(cli, order, AuthRequest::UserChangePassword { name, password }, "Password updated")
}
pub fn user_grant_role(cli: &mut Cli, order: &Order) -> Outcome {
    let [name, role] =
        operands(order, "user grant command requires user name and role name as its argument")?;
    let simple = format!("Role {role} is granted to user {name}");
    change(cli, order, AuthRequest::UserGrantRole { name, role }, &simple)
}
pub fn user_revoke_role(cli: &mut Cli, order: &Order) -> Outcome {
    let [name, role] = operands(order, "user revoke-role requires user name and role name as its argument")?;
    let simple = format!("Role {role} is revoked from user {name}");
    change(cli, order, AuthRequest::UserRevokeRole { name, role }, &simple)
}
pub fn user_get(cli: &mut Cli, order: &Order) -> Outcome {
    let [name] = operands(order, "user get command requires user name as its argument")?;
    let (order, client) = connect(cli, order)?;
    let response = ask(cli, &order, &client, AuthRequest::UserGet { name: name.clone() })?;
    let Ok(Answered::Auth(AuthOutcome::Names(roles))) = &response.result else { return Ok(()) };
    if order.flags.switch("detail") {
        cli.println(format!("User: {name}"));
        for role in roles {
            cli.print("\n");
            let response = ask(cli, &order, &client, AuthRequest::RoleGet { name: role.clone() })?;
            show_role(cli, &order, role, &response)?;
        }
        return Ok(());
    }
    match format_without_table(&order)? {
        Format::Json => {
            let all = list(roles.iter().map(|role| json::text(role)));
            cli.println(object([("header", Some(header(&response, true))), ("roles", all)]));
        }
        Format::Fields => return fail(exit::BAD_FEATURE, "fields not supported as output format"),
        _ => {
            let all: String = roles.iter().map(|role| format!(" {role}")).collect();
            cli.println(format!("User: {name}\nRoles:{all}"));
        }
    }
    Ok(())
}

pub fn role_add(cli: &mut Cli, order: &Order) -> Outcome {
    let [name] = operands(order, "role add command requires role name as its argument")?;
    let simple = format!("Role {name} created");
    change(cli, order, AuthRequest::RoleAdd { name }, &simple)
}
pub fn role_delete(cli: &mut Cli, order: &Order) -> Outcome {
    let [name] = operands(order, "role delete command requires role name as its argument")?;
    let simple = format!("Role {name} deleted");
    change(cli, order, AuthRequest::RoleDelete { name }, &simple)
}
pub fn role_get(cli: &mut Cli, order: &Order) -> Outcome {
    let [name] = operands(order, "role get command requires role name as its argument")?;
    let (order, client) = connect(cli, order)?;
    let response = ask(cli, &order, &client, AuthRequest::RoleGet { name: name.clone() })?;
    show_role(cli, &order, &name, &response)
}

/// `[a, b) (prefix a)`.
fn shown(permission: &Permission) -> String {
    let Permission { key, range_end, .. } = permission;
    match range_end.as_str() {
        "" => format!("\t{key}\n"),
        "\0" => format!("\t[{key}, <open ended>\n"),
        end if !key.is_empty() && prefix_end(key) == end => format!("\t[{key}, {end}) (prefix {key})\n"),
        end => format!("\t[{key}, {end})\n"),
    }
}

fn show_role(cli: &mut Cli, order: &Order, name: &str, response: &Response) -> Outcome {
    let Ok(Answered::Auth(AuthOutcome::Permissions(all))) = &response.result else { return Ok(()) };
    let kind = |permission: &Permission| match (permission.may_read, permission.may_write) {
        (true, true) => (2, "READWRITE"),
        (false, true) => (1, "WRITE"),
        _ => (0, "READ"),
    };
    match format_without_table(order)? {
        Format::Json => {
            let all = list(all.iter().map(|permission| {
                object([
                    ("permType", number(kind(permission).0)),
                    ("key", bytes(&permission.key)),
                    ("range_end", bytes(&permission.range_end)),
                ])
            }));
            cli.println(object([("header", Some(header(response, true))), ("perm", all)]));
        }
        Format::Fields => {
            let mut text = header_fields(order, response, true);
            for permission in all.iter() {
                text += &format!("\"PermType\" :  {}\n", kind(permission).1);
                text += &format!("\"Key\" : {}\n", quote(&permission.key));
                text += &format!("\"RangeEnd\" : {}\n", quote(&permission.range_end));
            }
            cli.print(text);
        }
        _ => {
            let lines = |wanted: fn(&Permission) -> bool| -> String {
                all.iter().filter(|permission| wanted(permission)).map(shown).gather()
            };
            let (mut read, mut write) = (lines(|one| one.may_read), lines(|one| one.may_write));
            if name == "root" && all.is_empty() {
                (read, write) = ("\t[, <open ended>\n".into(), "\t[, <open ended>\n".into());
            }
            cli.print(format!("Role {name}\nKV Read:\n{read}KV Write:\n{write}"));
        }
    }
    Ok(())
}

/// A key and the end of its range (`permRange`).
fn permitted(order: &Order, operands: &[String]) -> Outcome<(Text, Text)> {
    let (is_prefix, is_from) = (order.flags.switch("prefix"), order.flags.switch("from-key"));
    if is_prefix && is_from {
        return fail(exit::BAD_ARGS, "--from-key and --prefix flags are mutually exclusive");
    }
    let key = operands.first().map_or("", String::as_str);
    if let Some(end) = operands.get(1) {
        for (is_set, name) in [(is_prefix, "--prefix"), (is_from, "--from-key")] {
            if is_set {
                return fail(exit::BAD_ARGS, format!("unexpected endkey argument with {name} flag"));
            }
        }
        return Ok((key.into(), end.as_str().into()));
    }
    Ok(match (key, is_prefix, is_from) {
        ("", false, false) => ("\0".into(), Text::new()),
        ("", ..) => ("\0".into(), "\0".into()),
        (key, true, _) => (key.into(), prefix_end(key).into()),
        (key, _, true) => (key.into(), "\0".into()),
        (key, ..) => (key.into(), Text::new()),
    })
}

pub fn role_grant(cli: &mut Cli, order: &Order) -> Outcome {
    let [name, kind, rest @ ..] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, GRANT);
    };
    if rest.is_empty() {
        return fail(exit::BAD_ARGS, GRANT);
    }
    let (may_read, may_write) = match kind.to_ascii_uppercase().as_str() {
        "READ" => (true, false),
        "WRITE" => (false, true),
        "READWRITE" => (true, true),
        _ => return fail(exit::BAD_ARGS, format!("invalid permission type: {kind}")),
    };
    let (key, range_end) = permitted(order, rest)?;
    let permission = Permission { may_read, may_write, key, range_end };
    let request = AuthRequest::RoleGrantPermission { name: name.as_str().into(), permission };
    change(cli, order, request, &format!("Role {name} updated"))
}
const GRANT: &str =
    "role grant command requires role name, permission type, and key [endkey] as its argument";

pub fn role_revoke(cli: &mut Cli, order: &Order) -> Outcome {
    let [name, rest @ ..] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, REVOKE);
    };
    if rest.is_empty() {
        return fail(exit::BAD_ARGS, REVOKE);
    }
    let (key, range_end) = permitted(order, rest)?;
    let shown = &rest[0];
    let simple = match range_end.as_str() {
        "" => format!("Permission of key {shown} is revoked from role {name}"),
        "\0" => format!("Permission of range [{shown}, <open ended> is revoked from role {name}"),
        end => format!("Permission of range [{shown}, {end}) is revoked from role {name}"),
    };
    change(
        cli,
        order,
        AuthRequest::RoleRevokePermission { name: name.as_str().into(), key, range_end },
        &simple,
    )
}
const REVOKE: &str = "role revoke-permission command requires role name and key [endkey] as its argument";

fn bare(order: &Order, name: &str) -> Outcome {
    match order.operands.is_empty() {
        true => Ok(()),
        false => fail(exit::BAD_ARGS, format!("auth {name} command does not accept any arguments")),
    }
}
pub fn enable(cli: &mut Cli, order: &Order) -> Outcome {
    bare(order, "enable")?;
    change(cli, order, AuthRequest::Enable, "Authentication Enabled")
}
pub fn disable(cli: &mut Cli, order: &Order) -> Outcome {
    bare(order, "disable")?;
    change(cli, order, AuthRequest::Disable, "Authentication Disabled")
}
pub fn status(cli: &mut Cli, order: &Order) -> Outcome {
    bare(order, "status")?;
    let (order, client) = connect(cli, order)?;
    let response = ask(cli, &order, &client, AuthRequest::Status)?;
    let Ok(Answered::Auth(AuthOutcome::Status { is_enabled, revision })) = response.result else {
        return Ok(());
    };
    match format_without_table(&order)? {
        Format::Json => cli.println(object([
            ("header", Some(header(&response, true))),
            ("enabled", json::switch(is_enabled)),
            ("authRevision", number(revision)),
        ])),
        Format::Fields => return fail(exit::BAD_FEATURE, "fields not supported as output format"),
        _ => cli.println(format!("Authentication Status: {is_enabled}\nAuthRevision: {revision}")),
    }
    Ok(())
}
