//! What a line of shell prints, case by case.

use super::files::Files;
use super::machine::{Machine, Output, Surroundings};
use super::workstation::{Workstation, login_shell};
use crate::sim::Time;

/// Runs a script to its end: stdout, stderr, status, and the seconds that passed.
fn run(script: &str, files: &mut Files) -> (String, String, i32, u64) {
    let mut machine = Machine::of_shell(login_shell());
    machine.start(script, "first\nsecond\n");
    let (mut stdout, mut stderr, mut now) = (String::new(), String::new(), Time::ZERO);
    let mut random = crate::sim::Random::stream(1, "shell");
    loop {
        let history = ["old".to_string()];
        let mut workstation = Workstation { files, programs: &[], history: &history };
        let mut around = Surroundings {
            now,
            system: &mut workstation,
            etcd: Default::default(),
            random: &mut random,
            output: Output::new(),
            effects: Vec::new(),
        };
        machine.run(&mut around);
        for (on_error, text) in around.output {
            if on_error { stderr += &text } else { stdout += &text }
        }
        match machine.wake() {
            Some(time) if machine.is_running() => now = time,
            _ => break,
        }
    }
    (stdout, stderr, machine.status().expect("the line has ended"), now.as_secs())
}

#[test]
fn lines_print_what_bash_prints() {
    for (script, stdout, status) in [
        ("echo hello   world", "hello world\n", 0),
        ("echo 'a  b' \"c  d\" e\\ f", "a  b c  d e f\n", 0),
        ("x=1; y=\"$x 2\"; echo $y \"$y\" '$y' ${y}3", "1 2 1 2 $y 1 23\n", 0),
        ("echo ${none:-default} ${none} ${HOME##*/}", "default student\n", 0),
        ("false; echo $?; true; echo $?", "1\n0\n", 0),
        ("true && echo yes || echo no; false && echo yes || echo no", "yes\nno\n", 0),
        ("! true; echo $?", "1\n", 0),
        ("echo a; exit 3; echo b", "a\n", 3),
        ("echo $(echo inner $(echo deep)) \"$(printf 'x\\n\\n')\"", "inner deep x\n", 0),
        ("echo `echo old`", "old\n", 0),
        ("echo $((1 + 2 * 3)); i=5; echo $((i * i))", "7\n25\n", 0),
        ("printf '%s\\n' b a c | sort | head -n 2", "a\nb\n", 0),
        ("printf 'a\\nb\\nc\\n' | wc -l", "3\n", 0),
        ("echo one two | awk '{print $2, NR}'", "two 1\n", 0),
        ("printf 'n 1\\nm 22\\n' | awk '$2 > 5 {s += $2; print $1} END {print s}'", "m\n22\n", 0),
        ("printf 'a,b\\nc,d\\n' | awk -F, '{print $2 \"-\" $1}'", "b-a\nd-c\n", 0),
        ("printf 'a1\\nb2\\n' | sed 's/[0-9]/<&>/; /b/d'", "a<1>\n", 0),
        ("printf '1\\n2\\n3\\n4\\n' | sed -n '2,3p'", "2\n3\n", 0),
        ("printf 'x\\ny\\nx\\n' | grep -c x", "2\n", 0),
        ("printf 'x\\ny\\n' | grep z; echo $?", "1\n", 0),
        ("printf 'a\\nb\\nc\\nd\\n' | grep -A1 -n b", "2:b\n3-c\n", 0),
        ("printf 'pod/a 1\\npod/b 2\\n' | cut -d' ' -f1 | cut -d/ -f2", "a\nb\n", 0),
        ("echo abc | tr a-c A-C; echo aab | tr -s a", "ABC\nab\n", 0),
        ("echo hi > f; cat f; echo more >> f; cat < f", "hi\nhi\nmore\n", 0),
        ("cat <<EOF\n$USER $(echo x)\n\\$USER\nEOF\necho after", "student x\n$USER\nafter\n", 0),
        ("cat <<'EOF'\n$USER\nEOF", "$USER\n", 0),
        ("cat <<A; cat <<B\n1\nA\n2\nB", "1\n2\n", 0),
        ("cat > a.yaml <<E\nkind: Pod\nE\ngrep kind a.yaml | sed 's/kind: //'", "Pod\n", 0),
        ("cat <<< 'here string'", "here string\n", 0),
        ("for i in 1 2 3; do echo -n $i,; done; echo", "1,2,3,\n", 0),
        (
            "i=0; while [ $i -lt 3 ]; do i=$((i+1)); if [ $i = 2 ]; then continue; fi; echo $i; done",
            "1\n3\n",
            0,
        ),
        ("until false; do echo once; break; done", "once\n", 0),
        ("case abc in a*) echo starts;; *) echo other;; esac", "starts\n", 0),
        ("f() { echo \"$1 of $#\"; return 4; }; f a b; echo $?", "a of 2\n4\n", 0),
        ("if false; then echo a; elif true; then echo b; else echo c; fi", "b\n", 0),
        ("(x=2; cd /; echo $x $(pwd)); echo \"<$x>\" $(pwd)", "2 /\n<> /home/student\n", 0),
        ("{ echo a; echo b; } | tail -1", "b\n", 0),
        (
            "touch b.txt a.txt c.md; echo *.txt; echo *.none; ls",
            "a.txt b.txt\n*.none\na.txt\nb.txt\nc.md\n",
            0,
        ),
        ("mkdir -p x/y; cd x/y; pwd; cd -; ls x", "/home/student/x/y\n/home/student\ny\n", 0),
        ("echo a > f; cp f g; mv g h; rm f; ls; cat h", "h\na\n", 0),
        ("echo # no comment's text", "\n", 0),
        ("echo a#b # c", "a#b\n", 0),
        ("read x; read y; echo $y $x", "second first\n", 0),
        ("printf 'a b\\nc d\\n' | while read x y; do echo $y$x; done", "ba\ndc\n", 0),
        ("echo a b | xargs -n1 echo item", "item a\nitem b\n", 0),
        ("printf 'a\\nb\\n' | xargs -I{} echo '<{}>'", "<a>\n<b>\n", 0),
        ("echo secret | base64; echo c2VjcmV0Cg== | base64 -d", "c2VjcmV0Cg==\nsecret\n", 0),
        ("echo aGk | base64 -d", "hi", 1),
        ("echo 'aGkx?' | base64 -d 2>e; echo \" $? $(cat e)\"", "hi1 1 base64: invalid input\n", 0),
        ("export A=1 B=2; env | grep -E '^(A|B)='", "A=1\nB=2\n", 0),
        ("echo out; ls none 2>/dev/null; echo $?", "out\n2\n", 0),
        ("ls none 2>&1 | sed 's/^/> /'", "> ls: cannot access 'none': No such file or directory\n", 0),
        ("ls none > all 2>&1; cat all", "ls: cannot access 'none': No such file or directory\n", 0),
        ("set -- a 'b c'; for x in \"$@\"; do echo \"<$x>\"; done", "<a>\n<b c>\n", 0),
        ("alias say='echo said'; say it", "said it\n", 0),
        ("seq 3 | tac | paste -s 2>/dev/null; seq 2", "1\n2\n", 0),
        ("echo 'echo sourced $1' > s.sh; bash s.sh x; . ./s.sh", "sourced x\nsourced\n", 0),
        ("set -e; false; echo not here", "", 1),
        ("yes=1; [ \"$yes\" = 1 ] && [ -n \"$yes\" ] && echo ok", "ok\n", 0),
        ("seq 100000 | head -1", "1\n", 0),
        ("sleep 5 & wait; date +%S", "05\n", 0),
        ("echo a | tee t; cat t", "a\na\n", 0),
        ("echo 3 > x; sed -i s/3/4/ x; cat x", "4\n", 0),
        ("false; echo $? $(true) $?", "1 0\n", 0),
        ("false; x=1; echo $?; x=$(exit 3); echo $?", "0\n3\n", 0),
        ("echo a:b:c | while IFS=: read x y; do echo $y $x; done; echo ${IFS:-unset}", "b:c a\nunset\n", 0),
        ("echo '  a\\b ' | while IFS= read -r line; do echo \"<$line>\"; done", "<  a\\b >\n", 0),
        ("IFS=,; x=1,,2; for i in $x; do echo \"<$i>\"; done", "<1>\n<>\n<2>\n", 0),
        ("x=1; f() { local x=2; echo $x; }; f; echo $x", "2\n1\n", 0),
        ("X=1 env | grep ^X=; echo \"<$X>\"", "X=1\n<>\n", 0),
        ("trap 'echo bye' EXIT; (trap 'echo inner' EXIT; echo in)", "in\ninner\n", 0),
        ("sh -c 'trap \"echo bye \\$?\" EXIT; exit 3'; echo $?", "bye 3\n3\n", 0),
        ("sh -c 'sleep 9 & kill $!; wait $!; echo $?'", "143\n", 0),
        ("sleep 1 & sleep 3 & wait; date +%S", "03\n", 0),
        ("timeout 2 sleep 10; echo $?; date +%S", "124\n02\n", 0),
        ("echo 'echo $((1 + 1))' | sh", "2\n", 0),
        ("while true; do echo y; done | head -2", "y\ny\n", 0),
        ("exec > log; echo hidden; cat log >&2", "", 0),
        ("f () { echo spaced; }; f", "spaced\n", 0),
        ("set -e; if false; then :; fi; (false) || echo kept; (false); echo lost", "kept\n", 1),
        ("touch [ a]; echo [ x[1] [a]*", "[ x[1] a]\n", 0),
        ("chmod +x s 2>/dev/null; echo 'echo ran $1' > s; ./s it", "ran it\n", 0),
        ("expr 3 \\* 4; command -v ls cd", "12\n/usr/bin/ls\ncd\n", 0),
        (
            "i=0; while [ $i -lt 2 ]; do i=$((i+1)); for j in a b; do continue 2; done; echo never; done; echo $i",
            "2\n",
            0,
        ),
    ] {
        let (out, err, code, _) = run(script, &mut Files::default());
        assert_eq!((out.as_str(), code), (stdout, status), "{script}\nstderr: {err}");
    }
}

#[test]
fn mistakes_are_told_in_the_words_of_bash() {
    for (script, stderr, status) in [
        ("foo", "bash: foo: command not found\n", 127),
        ("./run.sh", "bash: ./run.sh: No such file or directory\n", 127),
        ("cat none", "cat: none: No such file or directory\n", 1),
        ("echo 'open", "bash: unexpected EOF while looking for matching `''\n", 2),
        ("echo |", "bash: syntax error: unexpected end of file\n", 2),
        ("| cat", "bash: syntax error near unexpected token `|'\n", 2),
        ("if true; then", "bash: syntax error: unexpected end of file\n", 2),
        ("cd /none", "bash: cd: /none: No such file or directory\n", 1),
        ("cat < none", "bash: none: No such file or directory\n", 1),
        ("echo x > /none/y", "bash: /none/y: No such file or directory\n", 1),
        ("sleep x", "sleep: invalid time interval 'x'\nTry 'sleep --help' for more information.\n", 1),
        ("rm d", "rm: cannot remove 'd': No such file or directory\n", 1),
    ] {
        let (_, err, code, _) = run(script, &mut Files::default());
        assert_eq!((err.as_str(), code), (stderr, status), "{script}");
    }
}

#[test]
fn sleep_passes_simulated_time() {
    assert_eq!(
        run("sleep 2; sleep 0.5; sleep 1m; date +%T", &mut Files::default()),
        ("08:01:02\n".into(), String::new(), 0, 62)
    );
}

#[test]
fn what_stands_before_a_mistake_has_run() {
    let (out, err, code, _) = run("echo one\necho two; )\necho three", &mut Files::default());
    assert_eq!((out.as_str(), code), ("one\n", 2));
    assert!(err.contains("unexpected token `)'"), "{err}");
}

#[test]
fn no_line_can_hang_or_panic() {
    for script in [
        "while true; do :; done",
        "f() { f; }; f",
        "f() { f | f; }; f",
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
        "x=$(f() { f; }; f)",
        "echo $(echo $(echo $(echo \"$(echo $((1))))",
        "${",
        "$((",
        "`",
        "\"$(",
        "a=(1 2)",
        "<<",
        "<<<",
        "cat <<EOF",
        ">",
        "2>&",
        "&& &&",
        ";;",
        "{ }",
        "()",
        "case x in",
        "for",
        "for x",
        "for x in; do echo $x; done",
        "if; then; fi",
        "!",
        "\\",
        "'",
        "\u{0}",
        "é*ü",
        "[",
        "[[ ]]",
        "$'\\",
    ] {
        run(script, &mut Files::default());
    }
    for open in ["(", "{ ", "$(", "\"$(", "${x:-", "if ", "while ", "! "] {
        run(&open.repeat(20_000), &mut Files::default());
    }
}
