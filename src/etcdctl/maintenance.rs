//! `alarm list` and `disarm`, `defrag`, `version`: upkeep.
//!
//! Picture to hold in mind: the caretaker's round: switch off the bell, press the paper flat.

use super::client::{connect, deadline};
use super::endpoint::endpoints;
use super::json::{list, number, object};
use super::print::{Format, format_without_table, header, header_fields, id, is_old};
use super::{Order, Outcome, Stop, exit, fail};
use crate::api::time_format::go_duration;
use crate::message::etcd::{Alarm, Operation, Outcome as Answered, Response};
use crate::shell::{Cli, Halt};

fn show(cli: &mut Cli, order: &Order, response: &Response) -> Outcome {
    let Ok(Answered::Alarms(alarms)) = &response.result else { return Ok(()) };
    match format_without_table(order)? {
        Format::Json => {
            let one = |(member, alarm): &(u64, Alarm)| {
                let kind = if *alarm == Alarm::NoSpace { 1 } else { 2 };
                object([("memberID", number(*member)), ("alarm", number(kind))])
            };
            let alarms = list(alarms.iter().map(one));
            cli.println(object([("header", Some(header(response, true))), ("alarms", alarms)]));
        }
        Format::Fields => {
            let mut text = header_fields(order, response, true);
            for (member, alarm) in alarms {
                text +=
                    &format!("\"MemberID\" : {}\n\"AlarmType\" : {}\n\n", id(order, *member), alarm.name());
            }
            cli.print(text);
        }
        _ => {
            for (member, alarm) in alarms {
                cli.println(format!("memberID:{member} alarm:{} ", alarm.name()));
            }
        }
    }
    Ok(())
}

fn alarm(cli: &mut Cli, order: &Order, name: &str, operations: &[Operation]) -> Outcome {
    if !order.operands.is_empty() {
        return fail(exit::BAD_ARGS, format!("alarm {name} command accepts no arguments"));
    }
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    for operation in operations {
        let response = client.call(cli, &order, "Maintenance/Alarm", operation, Some(until))?;
        show(cli, &order, &response)?;
    }
    Ok(())
}

pub fn alarm_list(cli: &mut Cli, order: &Order) -> Outcome {
    alarm(cli, order, "list", &[Operation::AlarmList])
}
/// The client asks which alarms there are and disarms each.
pub fn alarm_disarm(cli: &mut Cli, order: &Order) -> Outcome {
    if !order.operands.is_empty() {
        return fail(exit::BAD_ARGS, "alarm disarm command accepts no arguments");
    }
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let listed = client.call(cli, &order, "Maintenance/Alarm", &Operation::AlarmList, Some(until))?;
    let Ok(Answered::Alarms(alarms)) = &listed.result else { return Ok(()) };
    let mut disarmed = Vec::new();
    for (member, alarm) in alarms {
        let operation = Operation::AlarmDisarm { member: *member, alarm: *alarm };
        let response = client.call(cli, &order, "Maintenance/Alarm", &operation, Some(until))?;
        if let Ok(Answered::Alarms(gone)) = &response.result {
            disarmed.extend(gone.iter().copied());
        }
    }
    let response = Response { result: Ok(Answered::Alarms(disarmed)), ..(*listed).clone() };
    show(cli, &order, &response)
}

pub fn defrag(cli: &mut Cli, order: &Order) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let mut is_failed = false;
    for endpoint in endpoints(cli, &order, &client)? {
        let began = cli.now();
        let until = deadline(cli, &order);
        let alone = client.of(&endpoint);
        let result =
            alone.attempt(cli, &order, "Maintenance/Defragment", &Operation::Defragment, Some(until))?;
        let took = cli.now().since(began);
        let took = if is_old(&order) { String::new() } else { format!(". took {}", go_duration(took)) };
        match result {
            Ok(_) => cli.println(format!("Finished defragmenting etcd member[{endpoint}]{took}")),
            Err(failed) => {
                let end = if is_old(&order) { "" } else { "." };
                let why = failed.text();
                cli.eprintln(format!("Failed to defragment etcd member[{endpoint}]{took}{end} ({why})"));
                is_failed = true;
            }
        }
    }
    if is_failed { Err(Stop::Halt(Halt::Exit(exit::ERROR))) } else { Ok(()) }
}

pub fn version(cli: &mut Cli, order: &Order) -> Outcome {
    cli.println(format!("etcdctl version: {}", order.version.text()));
    cli.println(format!("API version: {}", order.version.api()));
    Ok(())
}
