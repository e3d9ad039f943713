"""Draws random layer sources and compares what we read from their text with what Python itself makes of them: its parser
(`ast`) for every source that it accepts, and the interpreter for those that run. The layer files of our own kernels go
first.

    python tests/inspect/layer_source_differential.py --program build/release/tests/dump_layers [--rounds 1500] [--seed N]

The promise under test: what we claim is true. Where we say "the text does not tell", anything may be; so it is counted
how often we do although the parser alone could tell, and that must stay rare.
"""

import argparse
import ast
import contextlib
import inspect
import io
import json
import random
import signal
import subprocess
import sys
import tempfile
import types
import warnings
from pathlib import Path

NAMES = ["Alpha", "Beta", "Gamma", "Delta"]
FLAGS = ["has_backward", "can_torch_compile"]
KINDS = list(inspect._ParameterKind)
STRINGS = ['"a"', "'b#c'", 'r"\\d"', "b'\\''", '"""x\nclass Alpha: pass\n"""', "'''\\''' '''", "f'{1 + 1:>{4}}'", "f\"{'}'}\"", "rb'\\\\'",
           "u''", "f'''{ {'k': \"v\"}['k'] }'''", "F'{{}}'", "fr'{1!r}\\d'", "'\\\n continued'", '"Alpha.has_backward = False"', "'é'"]


class Maker:
    """Writes sources that look like layer files, with everything around them that Python allows."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.step = rng.choice(["    ", "  ", "\t", " "])

    def pick(self, *items):
        return self.rng.choice(items)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def expression(self, depth: int = 0) -> str:
        if depth > 3 or self.chance(0.4):
            return self.pick("0", "1.5e-3", "0x1F", "None", "True", "x0", "...", "1_000", ".5j", self.pick(*STRINGS))
        template = self.pick("(@)", "[@, @]", "(@,\n @)  # )", "{@: @}", "lambda a, *b, c=@: @", "@ if @ else @", "print(sep='', end='')", "[i for i in (1, 2) if i]",
                             "(lambda: @)()", "not @", "'x' + \\\n  str(@)", "[@][0:1]", "{**{}, 'k': @}", "(walrus := 1)", "@ == @")
        head, *rest = template.split("@")
        return head + "".join(self.expression(depth + 1) + part for part in rest)

    def literal(self) -> str:
        return self.pick("True", "False", "True", "False", "(False)", "not True", "None", "1", self.expression())

    def parameters(self) -> str:
        names = iter(self.rng.sample(["x", "y", "z", "weight", "eps", "residual", "out", "gate"], 8))
        one = lambda: next(names) + self.pick("", ": int", ": 'dict[str, int]'", ": (lambda a=1: a)", ": [1, 2][0]")
        parts, tail = ["self"], False
        for _ in range(self.rng.randint(0, 3)):
            tail = tail or self.chance(0.3)
            parts.append(one() + (self.pick(" = 0", "=(1, 2)", "=lambda q=1: q", "='=,)'") if tail else ""))
        if self.chance(0.2):
            parts.insert(self.rng.randint(1, len(parts)), "/")
        if self.chance(0.4):
            parts.append(self.pick("*", "*args", "*args: int"))
            parts.append(one() + self.pick("", " = 1"))
        if self.chance(0.2):
            parts.append("**kwargs")
        return self.pick(", ", ",", ",\n ", ", # a, b=(\n ").join(parts) + (self.pick("", ",", "") if "*" not in parts[-1] else "")

    def function(self, name: str) -> list:
        head = self.pick("", "", "", "async ") + f"def {name}({self.parameters()}){self.pick('', ' -> int', ' -> {1: 2}[1:2]')}:"
        if "{1: 2}[1:2]" in head:
            head = head.replace("{1: 2}[1:2]", "'a:b'")
        if self.chance(0.25):
            return [head + self.pick(" pass", " return x; has_backward = True", " ...")]
        body = self.rng.sample(["'''doc: string'''", "# comment", "has_backward = False", "class Alpha: pass", "if x:\n" + self.step + "return 1", "self.y = 1",
                                "def forward(a): pass", "return 1", f"q = {self.expression()}"], 2)
        lines = [line for part in body for line in part.split("\n")]
        return [head] + [self.step + line for line in lines + ["pass"]]

    def member(self, depth: int = 0) -> list:
        kind = self.rng.random()
        if kind < 0.4:
            flag = self.pick(*FLAGS)
            return [self.pick(f"{flag} = {self.literal()}", f"{flag}: bool = {self.literal()}", f"{flag}: 'bool'", f"{flag} = other = {self.literal()}",
                              f"other = {flag} = {self.literal()}", f"{flag}, other = True, False", f"{flag} = False; can_torch_compile = True",
                              f"{flag} = True  # = False", f"({flag}) = False", f"for {flag} in [True]: pass", f"import os as {flag}", f"{flag} = False; del {flag}")]
        if kind < 0.65:
            decorator = [self.pick("@staticmethod", "@property", "@(lambda f: f)")] if self.chance(0.15) else []
            return decorator + self.function(self.pick("forward", "forward", "forward", "__init__", "helper", "extra_repr"))
        if kind < 0.8 or depth > 1:
            return [self.pick("'''doc'''", "pass", "...", f"count = {self.expression()}", "# forward", "size: int", "class Inner: has_backward = False", "import math",
                              "x0 = 1", f"[x1, x2] = 1, 2", "a.b = 1" if False else "pass")]
        head = self.pick("if True:", "if not True:", "try:", "for _ in [1]:", "while False:", "with open('/dev/null') as stream:", "if (lambda: False)():")
        body = self.member(depth + 1) + ["pass"]
        out = [head] + [self.step + line for line in body]
        if head == "try:":
            out += ["except Exception as error:"] + [self.step + line for line in self.member(depth + 1) + ["pass"]]
        elif head.startswith("if") and self.chance(0.5):
            out += ["else:"] + [self.step + line for line in self.member(depth + 1) + ["pass"]]
        return out

    def class_statement(self) -> list:
        name = self.pick(*NAMES)
        base = self.pick("(nn.Module)", "(nn.Module)", "(torch.nn.Module)", "(Module)", "", "()", "(object)", f"({self.pick(*NAMES)})", "(Other)", "(nn.Module, object)",
                         "( nn . Module , )", f"({self.pick(*NAMES)}, {self.pick(*NAMES)})", "((lambda a=1: nn.Module)())", "(nn.Module, metaclass=Meta)", "(nn.\n  Module  # base\n)")
        if self.chance(0.15):
            return [f"class {name}{base}: {self.pick('pass', 'has_backward = False', 'x = 1; has_backward: bool = True; y = 2')}"]
        lines = [line for _ in range(self.rng.randint(1, 5)) for line in self.member()]
        decorator = [self.pick("@(lambda c: c)", "@swap", "@swap  # two", "@str.format if False else swap")] if self.chance(0.1) else []
        return decorator + [f"class {name}{base}:"] + [self.step + line for line in lines + ["pass"]]

    def top(self, depth: int = 0) -> list:
        kind = self.rng.random()
        name = self.pick(*NAMES)
        if kind < 0.5:
            return self.class_statement()
        if kind < 0.75 or depth > 1:
            return [self.pick(f"{name} = None", f"{name} = Other", f"from helpers import Thing as {name}", f"from helpers import (Thing as {name},\n  Other2)", "import math, os as system",
                              f"if True: {name} = Other", f"{name}.has_backward = False if '{name}' in dir() else 0", f"value = {self.expression()}", f"{name}: type", "# text",
                              f"def change(): global {name}; {name} = Other", f"setattr(Other, 'x', {self.expression()})", "__all__ = ['Alpha']", f"for {name} in (Other,): pass",
                              f"print(end='') ; value = 1; {name}, value = Other, 2", "from helpers import *", f"({name} := Other)", "\f", f"with_ = {self.expression()}",
                              f"def {name}(): pass", f"del {name}", f"value = [{self.expression()} for _ in (1,)]")]
        if kind < 0.8:
            return self.function(self.pick("helper", "_gated"))
        head = self.pick("if True:", "if False:", "try:", "for _ in [1]:", "match 1:", "with open('/dev/null') as stream:")
        indent = lambda lines: [self.step + line for line in lines + ["pass"]]
        if head == "match 1:":
            return [head] + [self.step + line for line in [self.pick("case 1:", f"case int() as {name}:", "case 1 | 2:")] + indent(self.top(depth + 1))]
        out = [head] + indent(self.top(depth + 1) + self.top(depth + 1))
        if head == "try:":
            return out + [self.pick("except (ImportError, ValueError) as error:", "except Exception:")] + indent(self.top(depth + 1))
        return out + (["else:"] + indent(self.top(depth + 1)) if "if" in head else [])

    def source(self) -> bytes:
        lines = ["import torch", "from torch import nn", "from torch.nn import Module", "from helpers import Other, Meta, swap", "x0 = 1"]
        if self.chance(0.1):
            lines.insert(0, "# -*- coding: utf-8 -*-")
        for _ in range(self.rng.randint(1, 6)):
            lines += self.top()
            lines += self.pick([], [], [""], ["   "], ["  # odd"])
        text = "\n".join(lines) + self.pick("", "\n", "\n\n", "\n# end")
        if self.chance(0.2):
            text = self.mutated(text)
        text = text.replace("\n", self.pick("\n", "\n", "\r\n", "\r"))
        return self.pick(b"", b"", b"\xef\xbb\xbf") + text.encode()

    def mutated(self, text: str) -> str:
        for _ in range(self.rng.randint(1, 3)):
            at = self.rng.randrange(len(text))
            text = self.pick(text[:at] + text[at + self.rng.randint(1, 9):],
                             text[:at] + self.pick('"', "'", "(", ")", "\\", "\n", ":", "=", "#", "{", "}", " ", "lambda ", ",", "*") + text[at:],
                             text[:at] + text[at:at + 20] + text[at:])
        return text


# --- what the parser says ---

def blocks(node):
    """The statement lists of a compound statement that belong to the same scope."""
    for field in ("body", "orelse", "finalbody"):
        yield getattr(node, field, [])
    for part in list(getattr(node, "handlers", [])) + list(getattr(node, "cases", [])):
        yield part.body


def is_scope(node) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def bound_by(node) -> list:
    """Names that one statement binds itself, its blocks left out."""
    if is_scope(node):
        names, inner = [node.name], node.decorator_list
        inner = inner + (node.bases + [k.value for k in node.keywords] if isinstance(node, ast.ClassDef) else node.args.defaults + [d for d in node.args.kw_defaults if d])
    else:
        names, inner = [], [child for child in ast.iter_child_nodes(node) if not isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case))]
        names += [alias.asname or alias.name.split(".")[0] for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        names += [handler.name for handler in getattr(node, "handlers", []) if handler.name]
        for case in getattr(node, "cases", []):
            names += [part.name for part in ast.walk(case.pattern) if getattr(part, "name", None)]
        if isinstance(node, ast.AnnAssign) and node.value is None:
            inner = []
    stack = list(inner)
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Name) and isinstance(part.ctx, (ast.Store, ast.Del)):
            names.append(part.id)
        if isinstance(part, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            stack += [walrus for walrus in ast.walk(part) if isinstance(walrus, ast.NamedExpr)]
        elif not isinstance(part, ast.Lambda):
            stack += list(ast.iter_child_nodes(part))
    return names


def literal(node):
    value = getattr(node, "value", None)
    return {True: "yes", False: "no"}[value.value] if isinstance(value, ast.Constant) and isinstance(value.value, bool) else "unknown"


def parameters(args: ast.arguments) -> list:
    out = []
    plain = args.posonlyargs + args.args
    for i, arg in enumerate(plain):
        out.append([arg.arg, 0 if i < len(args.posonlyargs) else 1, i >= len(plain) - len(args.defaults)])
    if args.vararg:
        out.append([args.vararg.arg, 2, False])
    out += [[arg.arg, 3, default is not None] for arg, default in zip(args.kwonlyargs, args.kw_defaults)]
    return out + ([[args.kwarg.arg, 4, False]] if args.kwarg else [])


class ClassFacts:
    def __init__(self, node: ast.ClassDef):
        self.name, self.bases = node.name, [ast.dump(base) for base in node.bases]
        self.flags, self.names, self.forward = dict.fromkeys(FLAGS, "absent"), set(), "absent"
        self.read(node.body, False)

    def read(self, statements: list, conditional: bool):
        for node in statements:
            for name in bound_by(node):
                self.names.add(name)
                if name in FLAGS:
                    plain = isinstance(node, (ast.Assign, ast.AnnAssign)) and any(isinstance(t, ast.Name) and t.id == name for t in getattr(node, "targets", [getattr(node, "target", None)]))
                    self.flags[name] = literal(node) if plain and not conditional else "unknown"
                if name == "forward":
                    plain = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.decorator_list and not conditional
                    self.forward = parameters(node.args) if plain else "unknown"
            if not is_scope(node):
                for block in blocks(node):
                    self.read(block, True)


def read_module(statements: list, classes: list, bound: set):
    for node in statements:
        if isinstance(node, ast.ClassDef):
            classes.append(ClassFacts(node))
            bound.update(name for name in bound_by(node) if name != node.name)
            continue
        bound.update(bound_by(node))
        if not is_scope(node):
            for block in blocks(node):
                read_module(block, classes, bound)


class Comparison:
    def __init__(self):
        self.claims = self.silent = self.checked = self.ran = self.true_when_run = 0
        self.differences = []

    def same(self, what: str, ours, theirs):
        if ours == theirs:
            self.claims += 1
        elif ours == "unknown":
            self.silent += 1
        else:
            self.differences.append(f"{what}: ours {ours!r}, Python {theirs!r}")

    def with_parser(self, tree: ast.Module, ours: dict):
        if "a line begins with a backslash" in ours.get("error", ""):
            return  # refused on purpose: what its indentation is has changed between versions of Python
        self.checked += 1
        if "error" in ours:
            self.differences.append(f"Python accepts it, we say {ours['error']}")
            return
        classes, bound = [], set()
        read_module(tree.body, classes, bound)
        self.same("classes", [item["name"] for item in ours["classes"]], [item.name for item in classes])
        for mine, item in zip(ours["classes"], classes):
            self.same("bases of " + item.name, [ast.dump(ast.parse(f"f({base})", mode="eval").body.args[0]) for base in mine["bases"]], item.bases)
            for flag in FLAGS:
                self.same(f"{flag} of {item.name}", mine[flag], item.flags[flag])
            self.same("forward of " + item.name, mine["forward"], item.forward)
            self.same("__init__ of " + item.name, mine["defines_init"], "__init__" in item.names)
            missing = item.names - set(mine["members"]) - {*FLAGS, "forward", "__init__"}
            if missing:
                self.differences.append(f"members {missing} of {item.name} were not seen")
        known = set(ours["imported"]) | set(ours["assigned"]) | set(ours["none"])
        if bound - known - {"*"}:
            self.differences.append(f"the bound names {bound - known} were not seen")

    def with_interpreter(self, module: types.ModuleType, ours: dict):
        self.ran += 1
        for name, layer in ours.get("layers", {}).items():
            value = getattr(module, name, None)
            if layer["presence"] == "absent" and hasattr(module, name):
                self.differences.append(f"`{name}` exists when run, we say that it does not")
            if layer["presence"] != "defined" or not isinstance(value, type):
                continue
            for flag, default in zip(FLAGS, (True, False)):
                self.when_run(f"{flag} of {name}", layer[flag], getattr(value, flag, default))
            if layer["forward"] is not None:
                items = inspect.signature(value.forward).parameters.values()
                self.when_run("forward of " + name, layer["forward"], [[p.name, KINDS.index(p.kind), p.default is not p.empty] for p in items])

    def when_run(self, what: str, ours, theirs):
        if ours == theirs:
            self.true_when_run += 1
        elif ours is not None:
            self.differences.append(f"{what} when run: ours {ours!r}, Python {theirs!r}")


def fake_modules() -> dict:
    class Module:
        def __init__(self):
            pass

        def forward(self, *input):
            raise NotImplementedError

    class Other(Module):
        has_backward = False
        can_torch_compile = True

        def forward(self, only):
            pass

    class Meta(type):
        def __new__(mcs, name, bases, space):
            return super().__new__(mcs, name, bases, {**space, "has_backward": False, "can_torch_compile": True})

    out = {name: types.ModuleType(name) for name in ("torch", "torch.nn", "helpers")}
    out["torch"].nn, out["torch.nn"].Module = out["torch.nn"], Module
    out["helpers"].__dict__.update(Other=Other, Other2=Other, Thing=Other, Meta=Meta, swap=lambda cls: Other, Gamma=Other)
    return out


def run_source(text: bytes):
    """The module that the source makes, or nothing if it raises an exception or, after a mutation, does not end."""
    module = types.ModuleType("layers")
    sys.modules.update(fake_modules())
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, "layers.py", "exec"), module.__dict__)
    except BaseException:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return module


def out_of_time(*_):
    raise TimeoutError


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--kernels", default=str(Path(__file__).parents[2] / "kernels"))
    parser.add_argument("--rounds", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, out_of_time)
    rng = random.Random(options.seed)
    sources = [path.read_bytes() for path in sorted(Path(options.kernels).glob("*/python/layers/__init__.py"))]
    own = len(sources)
    sources += [Maker(rng).source() for _ in range(options.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(i) for i in range(len(sources))]
        for file, text in zip(files, sources):
            file.write_bytes(text)
        answer = subprocess.run([options.program, "-"], input="\n".join(map(str, files)) + "\n", capture_output=True, text=True, timeout=100, check=True)
    comparison, failed = Comparison(), 0
    for text, line in zip(sources, answer.stdout.splitlines(), strict=True):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        ours, comparison.differences = json.loads(line), []
        comparison.with_parser(tree, ours)
        module = run_source(text)
        if module is not None:
            comparison.with_interpreter(module, ours)
        if comparison.differences:
            failed += 1
            if failed <= 3:
                print("\n".join(comparison.differences) + "\n--- source\n" + text.decode() + "\n---")
    enough = comparison.checked >= own + options.rounds // 2 and comparison.true_when_run >= options.rounds // 4
    told = comparison.claims / max(1, comparison.claims + comparison.silent)
    print(f"{own} layer files and {options.rounds} random sources: {comparison.checked} compared with the parser, {comparison.ran} with the interpreter, "
          f"{comparison.claims} claims ({told:.1%} of what the parser tells), {comparison.true_when_run} of them true when run, {failed} differ")
    return 1 if failed or own == 0 or not enough or told < 0.97 else 0


if __name__ == "__main__":
    sys.exit(main())
