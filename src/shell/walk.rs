//! Walks the tree that the parser made: one note of a strand's to-do list after the other.
//!
//! Picture to hold in mind: a finger on a sentence diagram. At each fork the walker notes on a slip where to go on,
//! puts the slip on the pile, and follows one branch; the pile is all that there is to remember.

use std::sync::Arc;

use super::expand::substitutions;
use super::launch::words_of;
use super::machine::{MAXIMUM_DEPTH, MAXIMUM_TASKS, Machine, Step, Surroundings};
use super::parse::Parser;
use super::syntax::Node;
use super::task::{Frame, Pipe, Stream, Substituted, Task};

impl Machine {
    /// Works off the top note of one strand.
    pub(super) fn step(&mut self, id: u32, around: &mut Surroundings) -> Step {
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if !task.signals.is_empty() && task.is_between_commands() {
            let signal = task.signals.remove(0);
            return task.begin_trap(&signal);
        }
        let Some(frame) = task.frames.pop() else {
            if !task.shell.is_interactive && task.shell.traps.contains_key("EXIT") {
                return task.begin_trap("EXIT");
            }
            let status = task.shell.status;
            self.end(id, status, around);
            return Step::Ended;
        };
        match frame {
            Frame::Source { text, position } => return self.read_command(id, text, position, around),
            Frame::Run(node) => return self.run_node(id, node, around),
            Frame::List { nodes, index } => {
                if let Node::List(list) = &*nodes
                    && let Some(node) = list.get(index).cloned()
                {
                    if index + 1 < list.len() {
                        task.frames.push(Frame::List { nodes, index: index + 1 });
                    }
                    task.frames.push(Frame::Run(node));
                }
            }
            Frame::Then { on_success, node } => {
                if (task.shell.status == 0) == on_success {
                    task.frames.push(Frame::Run(node));
                }
            }
            Frame::Condition => {}
            Frame::If { node, branch } => task.choose(node, branch),
            Frame::Loop { node, testing, status } => task.turn(node, testing, status),
            Frame::For { node, values, index } => {
                if let Node::For { name, body, .. } = &*node
                    && let Some(value) = values.get(index)
                {
                    task.shell.set(name, value.clone());
                    let body = body.clone();
                    task.frames.push(Frame::For { node, values, index: index + 1 });
                    task.frames.push(Frame::Run(body));
                }
            }
            frame @ (Frame::Restore(_) | Frame::Variables(_) | Frame::Return { .. }) => task.undo(frame),
            Frame::Trapped { status } => task.shell.status = status,
            join @ Frame::Join { .. } => return self.join(id, join, around),
            Frame::Expand { node, scripts, outputs, child } => {
                return self.substitute(id, node, scripts, outputs, child, around);
            }
            Frame::Program(program) => return self.run_program(id, program, around),
        }
        Step::Advanced
    }

    fn read_command(
        &mut self,
        id: u32,
        text: Arc<[char]>,
        position: usize,
        around: &mut Surroundings,
    ) -> Step {
        let mut parser = Parser::new(&text, position);
        let result = parser.next_command();
        let position = parser.position();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match result {
            Ok(None) => {}
            Ok(Some(node)) => {
                if position < text.len() {
                    task.frames.push(Frame::Source { text, position });
                }
                task.frames.push(Frame::Run(Arc::new(node)));
            }
            Err(error) => {
                task.shell.status = 2;
                let words = around.system.dialect().wrong_syntax(&error);
                self.complain(id, &words, around);
            }
        }
        Step::Advanced
    }

    fn run_node(&mut self, id: u32, node: Arc<Node>, around: &mut Surroundings) -> Step {
        let tasks = self.tasks.len();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match &*node {
            Node::List(_) => task.frames.push(Frame::List { nodes: node, index: 0 }),
            Node::And(left, right) | Node::Or(left, right) => {
                let on_success = matches!(&*node, Node::And(..));
                task.frames.push(Frame::Then { on_success, node: right.clone() });
                task.frames.push(Frame::Condition);
                task.frames.push(Frame::Run(left.clone()));
            }
            Node::If { branches, .. } => {
                let condition = branches.first().map(|(condition, _)| condition.clone());
                task.frames.push(Frame::If { node, branch: 0 });
                task.frames.push(Frame::Condition);
                task.frames.extend(condition.map(Frame::Run));
            }
            Node::Loop { condition, .. } => {
                let condition = condition.clone();
                task.frames.push(Frame::Loop { node, testing: true, status: 0 });
                task.frames.push(Frame::Condition);
                task.frames.push(Frame::Run(condition));
            }
            Node::Function { name, body } => {
                task.shell.functions.insert(name.clone(), body.clone());
                task.shell.status = 0;
            }
            Node::Background(body) => {
                if tasks >= MAXIMUM_TASKS {
                    return self.refuse(id, "fork: retry: Resource temporarily unavailable", around);
                }
                while task.shell.jobs.len() >= MAXIMUM_TASKS {
                    task.shell.jobs.remove(0);
                }
                let mut child = task.below(vec![Frame::Run(body.clone())]);
                child.background = true;
                child.streams[0] = Stream::Null;
                let child = self.add_task(child);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.shell.status = 0;
                    task.shell.jobs.push(child);
                }
            }
            Node::Pipeline { negated, parts } => {
                if tasks + parts.len() >= MAXIMUM_TASKS {
                    return self.refuse(id, "fork: retry: Resource temporarily unavailable", around);
                }
                if let ([part], true) = (parts.as_slice(), *negated) {
                    task.frames.push(Frame::join(Vec::new(), true));
                    task.frames.push(Frame::Condition);
                    task.frames.push(Frame::Run(part.clone()));
                    return Step::Advanced;
                }
                let (parts, negated) = (parts.clone(), *negated);
                self.start_pipeline(id, &parts, negated);
            }
            Node::Simple(_)
            | Node::For { .. }
            | Node::Case { .. }
            | Node::Group { .. }
            | Node::Subshell { .. } => {
                let mut scripts = Vec::new();
                words_of(&node, &mut |word| substitutions(word, &mut scripts));
                if scripts.is_empty() {
                    return self.run_expanded(id, &node, Vec::new(), around);
                }
                let (scripts, outputs) = (Arc::new(scripts), Vec::new());
                task.frames.push(Frame::Expand { node, scripts, outputs, child: None });
            }
        }
        Step::Advanced
    }

    fn start_pipeline(&mut self, id: u32, parts: &[Arc<Node>], negated: bool) {
        let Some(task) = self.tasks.get(&id) else { return };
        let template = task.below(Vec::new());
        let mut input = template.streams[0].clone();
        let mut children = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut child = Task { frames: vec![Frame::Run(part.clone())], ..template.clone() };
            child.streams[0] = input.clone();
            if index + 1 < parts.len() {
                let pipe = self.add_pipe(Pipe::default());
                child.streams[1] = Stream::Pipe(pipe);
                input = Stream::Pipe(pipe);
            }
            children.push(self.add_task(child));
        }
        if let Some(task) = self.tasks.get_mut(&id) {
            task.frames.push(Frame::join(children, negated));
        }
    }
    /// Waits for strands.
    fn join(&mut self, id: u32, frame: Frame, around: &mut Surroundings) -> Step {
        let Frame::Join { children, last, negated, deadline, .. } = &frame else { return Step::Advanced };
        let is_late = deadline.is_some_and(|deadline| deadline <= around.now);
        if is_late {
            // GNU's `timeout` has a status of its own; BusyBox' gives that of the signal.
            let status = if around.system.dialect().is_busybox() { 143 } else { 124 };
            for child in children {
                self.end_with_children(*child, status, around);
            }
        }
        let is_running = children.iter().any(|child| self.tasks.contains_key(child));
        let status = self.ended.get(last).copied();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if is_running {
            task.frames.push(frame);
            return Step::Blocked;
        }
        if !children.is_empty() {
            task.shell.status = status.unwrap_or(0);
        }
        if *negated {
            task.shell.status = i32::from(task.shell.status == 0);
        } else if !children.is_empty() {
            task.after_command();
        }
        for child in children {
            self.ended.remove(child);
        }
        Step::Advanced
    }
    /// Ends a strand and those that it waits for.
    pub(super) fn end_with_children(&mut self, id: u32, status: i32, around: &mut Surroundings) {
        let Some(task) = self.tasks.get(&id) else { return };
        let mut below = Vec::new();
        for frame in &task.frames {
            match frame {
                Frame::Join { children, is_wait: false, .. } => below.extend(children.iter().copied()),
                Frame::Expand { child: Some((child, _)), .. } => below.push(*child),
                _ => {}
            }
        }
        self.end_by_signal(id, status, around);
        for child in below {
            self.end_with_children(child, status, around);
        }
    }

    /// Runs the command substitutions of `node`, one after the other.
    fn substitute(
        &mut self,
        id: u32,
        node: Arc<Node>,
        scripts: Arc<Vec<Arc<str>>>,
        mut outputs: Vec<Substituted>,
        child: Option<(u32, u32)>,
        around: &mut Surroundings,
    ) -> Step {
        let tasks = self.tasks.len();
        if let Some((child, pipe)) = child {
            if self.tasks.contains_key(&child) {
                if let Some(task) = self.tasks.get_mut(&id) {
                    let child = Some((child, pipe));
                    task.frames.push(Frame::Expand { node, scripts, outputs, child });
                }
                return Step::Blocked;
            }
            let status = self.ended.remove(&child).unwrap_or(0);
            let text = self.pipes.remove(&pipe).map(|mut pipe| pipe.take_all()).unwrap_or_default();
            outputs.push((text, status));
        }
        let Some(script) = scripts.get(outputs.len()) else {
            return self.run_expanded(id, &node, outputs, around);
        };
        let pipe = self.add_pipe(Pipe::default());
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if task.depth >= MAXIMUM_DEPTH || tasks >= MAXIMUM_TASKS {
            return self.refuse(id, "fork: retry: Resource temporarily unavailable", around);
        }
        let mut child = task.below(vec![Frame::source(script)]);
        child.streams[1] = Stream::Pipe(pipe);
        child.depth += 1;
        child.shell.status = outputs.last().map_or(child.shell.status, |(_, status)| *status);
        let child = self.add_task(child);
        if let Some(task) = self.tasks.get_mut(&id) {
            let child = Some((child, pipe));
            task.frames.push(Frame::Expand { node, scripts, outputs, child });
        }
        Step::Advanced
    }
}

impl Task {
    fn begin_trap(&mut self, signal: &str) -> Step {
        let script = match signal {
            "EXIT" => self.shell.traps.remove(signal),
            signal => self.shell.traps.get(signal).cloned(),
        };
        self.frames.push(Frame::Trapped { status: self.shell.status });
        self.frames.extend(script.map(|script| Frame::source(&script)));
        Step::Advanced
    }
    /// Takes back what a command, a function or a sourced file had changed for itself.
    pub(super) fn undo(&mut self, frame: Frame) {
        match frame {
            Frame::Restore(streams) => self.streams = *streams,
            Frame::Variables(variables) => {
                variables.into_iter().for_each(|variable| self.shell.put_back(variable))
            }
            Frame::Return { parameters, hidden } => {
                self.depth -= 1;
                if let Some(parameters) = parameters {
                    self.shell.parameters = parameters;
                }
                hidden.into_iter().rev().for_each(|variable| self.shell.put_back(variable));
            }
            _ => {}
        }
    }
    /// Goes on behind the condition of a branch of `if`.
    fn choose(&mut self, node: Arc<Node>, branch: usize) {
        let Node::If { branches, otherwise } = &*node else { return };
        let next = if self.shell.status == 0 {
            branches.get(branch).map(|(_, body)| body.clone())
        } else if let Some((condition, _)) = branches.get(branch + 1) {
            let condition = condition.clone();
            self.frames.push(Frame::If { node, branch: branch + 1 });
            self.frames.push(Frame::Condition);
            self.frames.push(Frame::Run(condition));
            return;
        } else {
            self.shell.status = 0;
            otherwise.clone()
        };
        self.frames.extend(next.map(Frame::Run));
    }
    /// Goes on behind the condition (`testing`) or the body of a loop.
    fn turn(&mut self, node: Arc<Node>, testing: bool, status: i32) {
        let Node::Loop { until, condition, body } = &*node else { return };
        if !testing {
            let (condition, status) = (condition.clone(), self.shell.status);
            self.frames.push(Frame::Loop { node, testing: true, status });
            self.frames.push(Frame::Condition);
            self.frames.push(Frame::Run(condition));
        } else if (self.shell.status == 0) != *until {
            let body = body.clone();
            self.frames.push(Frame::Loop { node, testing: false, status: 0 });
            self.frames.push(Frame::Run(body));
        } else {
            self.shell.status = status;
        }
    }
}
