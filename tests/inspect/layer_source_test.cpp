#include "kernels/inspect/layer_source.h"

#include "support/catch.h"

using namespace kernels;
using namespace kernels::inspect;

namespace {

const char* const kImports = "import torch\nfrom torch import nn\n";

std::string word(const std::optional<bool>& value) {
  return value ? (*value ? "yes" : "no") : "?";
}

/// `self x=` and so on: `*` and `**` for variable ones, `=` behind a default, `/` and `,` where kinds change.
std::string word(const std::optional<std::vector<LayerParameter>>& parameters) {
  if (!parameters) return "?";
  std::string out;
  for (const auto& item : *parameters) {
    static constexpr std::array<const char*, 5> kinds = {"/", "", "*", ",", "**"};
    out += (out.empty() ? "" : " ") + (kinds[static_cast<std::size_t>(item.kind)] + item.name) +
           (item.has_default ? "=" : "");
  }
  return out;
}

/// "backward compile forward" of the layer `A`.
std::string summary(const std::string& text) {
  auto source = read_layer_source(text);
  if (!source) return "error: " + source.error().text();
  auto layer = describe_layer(*source, "A");
  if (layer.presence == LayerPresence::absent) return "absent";
  if (layer.presence == LayerPresence::elsewhere) return "elsewhere";
  return word(layer.has_backward) + " " + word(layer.can_torch_compile) + " (" + word(layer.forward) + ")";
}

struct Row {
  const char* name;
  std::string text;
  const char* expected;
};

std::string in_class(const std::string& body) {
  return std::string(kImports) + "class A(nn.Module):\n    " + body + "\n";
}

}  // namespace

TEST_CASE("layer source: flags", "[inspect]") {
  auto row = GENERATE(values<Row>({
      {"Python's defaults", in_class("pass"), "yes no (?)"},
      {"plain", in_class("has_backward = False\n    can_torch_compile = True"), "no yes (?)"},
      {"annotated", in_class("has_backward: bool = False"), "no no (?)"},
      {"only annotated", in_class("has_backward: bool"), "yes no (?)"},
      {"on one line", "import torch\nclass A(torch.nn.Module): x = 1; has_backward = False", "no no (?)"},
      {"the last one counts", in_class("has_backward = False\n    has_backward = (True)"), "yes no (?)"},
      {"two at once", in_class("has_backward = can_torch_compile = False"), "no no (?)"},
      {"computed", in_class("has_backward = not True"), "? no (?)"},
      {"a tuple", in_class("has_backward, x = False, 1"), "? no (?)"},
      {"under a condition", in_class("if x:\n        has_backward = False"), "? no (?)"},
      {"deleted", in_class("has_backward = False\n    del has_backward"), "? no (?)"},
      {"a function", in_class("def has_backward(self): return False"), "? no (?)"},
      {"in a string", in_class("'''\nhas_backward = False\n'''"), "yes no (?)"},
      {"in a comment", in_class("# has_backward = False\n    pass"), "yes no (?)"},
      {"in a nested class", in_class("class B:\n        has_backward = False"), "yes no (?)"},
      {"in a method", in_class("def helper(self):\n        has_backward = False"), "yes no (?)"},
      {"changed later", in_class("has_backward = True") + "A.has_backward = False\n", "? ? (?)"},
      {"changed by a function", in_class("pass") + "def f():\n  setattr(A, 'has_backward', False)\n",
       "? ? (?)"},
      {"a decorated class", std::string(kImports) + "@swap\nclass A(nn.Module):\n  has_backward = False\n",
       "? ? (?)"},
      {"a metaclass", std::string(kImports) + "class A(nn.Module, metaclass=M):\n  has_backward = False\n",
       "? ? (?)"},
      {"an unknown base", "from x import B\nclass A(B):\n  has_backward = False\n", "? ? (?)"},
      {"`nn` from elsewhere", "from x import nn\nclass A(nn.Module):\n  pass\n", "? ? (?)"},
      {"`nn` by another name", "import torch.nn as t\nclass A(t.Module): pass\n", "yes no (?)"},
      {"a base in the text",
       std::string(kImports) + "class B(nn.Module): can_torch_compile = True\nclass A(B): pass\n",
       "yes yes (?)"},
      {"a class below itself", "class A(A): pass\n", "? ? (?)"},
      {"defined twice, alike",
       "if x:\n  class A: has_backward = False\nelse:\n  class A: has_backward = False\n", "no no (?)"},
      {"defined twice, unlike", "if x:\n  class A: has_backward = False\nelse:\n  class A: pass\n",
       "? no (?)"},
      {"imported or defined",
       "try:\n  from ._a import A\nexcept ImportError:\n  class A: has_backward = False\n", "? ? (?)"},
      {"after a failed import",
       "try:\n  import torch\nexcept ImportError:\n  torch = None\nif torch is not None:\n  class "
       "A(torch.nn.Module):\n    has_backward = False\n",
       "no no (?)"},
  }));
  INFO(row.name);
  CHECK(summary(row.text) == row.expected);
}

TEST_CASE("layer source: parameters of forward", "[inspect]") {
  auto row = GENERATE(values<Row>({
      {"plain", in_class("def forward(self, x): pass"), "yes no (self x)"},
      {"annotations and defaults",
       in_class("def forward(self, x: dict[str, int], y: 'a=b' = (1, 2), z=lambda a=1, *b: a) -> x: ..."),
       "yes no (self x y= z=)"},
      {"an annotation with a lambda", in_class("def forward(self, x: lambda a=1: a, y: lambda: 0 = 5): ..."),
       "yes no (self x y=)"},
      {"every kind", in_class("def forward(self, a, /, b, *rest, c, d=1, **more): pass"),
       "yes no (/self /a b *rest ,c ,d= **more)"},
      {"a star alone", in_class("def forward(self, *, c=1,): pass"), "yes no (self ,c=)"},
      {"over several lines",
       in_class("def forward(\n      self,  # a, b\n  x = '''),\n''',\n    ):\n        return 1"),
       "yes no (self x=)"},
      {"a type parameter", in_class("def forward[T: (int, str)](self, x: T): pass"), "yes no (self x)"},
      {"async", in_class("async def forward(self): pass"), "yes no (self)"},
      {"decorated", in_class("@staticmethod\n    def forward(x): pass"), "yes no (?)"},
      {"assigned", in_class("forward = _impl"), "yes no (?)"},
      {"replaced", in_class("def forward(self): pass\n    forward = _impl"), "yes no (?)"},
      {"the last one counts", in_class("def forward(self): pass\n    def forward(self, x): pass"),
       "yes no (self x)"},
      {"inherited", "class B:\n  def forward(self, x): pass\nclass A(B): pass\n", "yes no (self x)"},
      {"outside ASCII", in_class("def forward(self, \xc3\xa9): pass"), "yes no (?)"},
  }));
  INFO(row.name);
  CHECK(summary(row.text) == row.expected);
}

TEST_CASE("layer source: what is there, what may be, what is not", "[inspect]") {
  auto row = GENERATE(values<Row>({
      {"an empty text", "", "absent"},
      {"another name", "class B: pass\nAB = 1\n", "absent"},
      {"in a function", "def f():\n  class A: pass\n", "absent"},
      {"imported", "from ._x import A\n", "elsewhere"},
      {"imported by another name", "from ._x import B as A\n", "elsewhere"},
      {"imported under another name", "from ._x import A as B\n", "absent"},
      {"in a list of several lines", "from ._x import (\n  B,  # first\n  A,\n)\n", "elsewhere"},
      {"everything imported", "from ._x import *\n", "elsewhere"},
      {"assigned", "A = make()\n", "elsewhere"},
      {"a loop's target", "for A in x: pass\n", "elsewhere"},
      {"made global by a function", "def f():\n  global B, A\n", "elsewhere"},
      {"a walrus", "print((A := 1))\n", "elsewhere"},
      {"a pattern", "match x:\n  case B(a=A):\n    pass\n", "elsewhere"},
      {"made on demand", "def __getattr__(name): return 1\n", "elsewhere"},
      {"a name that Python folds", "\xef\xbc\xa1 = 1\n", "elsewhere"},  // FULLWIDTH A
      {"soft keywords as names", "match = case = type = 1\nmatch\ntype\nclass A: pass\n", "yes no (?)"},
      {"in blocks", "while 0:\n  with x as y:\n    try: pass\n    finally:\n      class A: pass\n",
       "yes no (?)"},
      {"after lambdas and slices",
       "x = lambda a, b=1: {a: b}\ny = z[1:2]\nif (lambda: 0)(): pass\nclass A: pass\n", "yes no (?)"},
      {"after every string",
       "a = r'\\' + b\"\"\"\nclass B\"\"\" + f'{x!r:>{w}}{{' + f\"{d['k']}\" + '\\\n'\nclass A: pass\n",
       "error: line 1: a string that is not closed, or is nested too deep"},
      {"after strings",
       "a = R'\\'' + bR\"\"\"\n\"class B\"\"\" + f'{x!r:>{w}}{{' + f\"{d['k']}\" + '\\\n'\nclass A: pass\n",
       "yes no (?)"},
      {"quotes in f-strings, since 3.12", "a = f\"{d[\"k\"]}{f'{'#'}'}\" + t'{x}'\nclass A: pass\n",
       "yes no (?)"},
      {"line ends of other systems", "class B: pass\r\n\rclass A:\r  pass\r\n", "yes no (?)"},
      {"tabs", "if x:\n\tclass A:\n\t\tpass\n", "yes no (?)"},
      {"a byte order mark",
       "\xef\xbb\xbf"
       "class A: pass",
       "yes no (?)"},
      {"continued", "class \\\n  A( \\\n ):\\\n pass\n", "yes no (?)"},
  }));
  INFO(row.name);
  CHECK(summary(row.text) == row.expected);
}

TEST_CASE("layer source: broken texts and texts over a limit are refused", "[inspect]") {
  struct Refusal {
    const char* name;
    std::string text;
    Errc code;
  };
  auto times = [](int count, const std::string& part) {
    std::string out;
    for (int i = 0; i < count; ++i)
      out += part;
    return out;
  };
  std::string deep;
  for (std::size_t i = 0; i < 102; ++i)
    deep += std::string(i, ' ') + "if x:\n";
  auto row = GENERATE_COPY(values<Refusal>({
      {"an open string", "a = 'x\n", Errc::corrupt},
      {"an open long string", "a = '''x\n", Errc::corrupt},
      {"an open bracket", "a = (1\n", Errc::corrupt},
      {"crossed brackets", "a = ([)]\n", Errc::corrupt},
      {"a stray indentation", "a\n  b\n", Errc::corrupt},
      {"an indentation at the start", "  a\n", Errc::corrupt},
      {"a dedent to nowhere", "if x:\n    a\n  b\n", Errc::corrupt},
      {"tabs and spaces", "if x:\n        a\n\tb\n", Errc::corrupt},
      {"no block", "class A:\nb\n", Errc::corrupt},
      {"no colon", "class A\n", Errc::corrupt},
      {"no name", "class (B): pass\n", Errc::corrupt},
      {"a character of no language", "a = $b\n", Errc::corrupt},
      {"a zero byte", std::string("a\0b", 3), Errc::corrupt},
      {"not UTF-8", "# \xff\n", Errc::corrupt},
      {"another encoding", "# -*- coding: utf-7 -*-\n", Errc::unsupported},
      {"an encoding that is none", "# coding: utf.8\n", Errc::unsupported},
      {"a line end behind what is none", "# coding: -utf-8-x\n", Errc::unsupported},
      {"an encoding in which the text would be another", "# coding: latin-1\n# \u00e9\n", Errc::unsupported},
      {"too long", times(1 << 20, "#") + "\n", Errc::unsupported},
      {"brackets too deep", "a = " + times(101, "(") + times(101, ")") + "\n", Errc::unsupported},
      {"blocks too deep", deep, Errc::unsupported},
      {"f-strings too deep", "a = " + times(300, "f\"{") + "\n", Errc::corrupt},
      {"too many classes", times(10'001, "class A: x\n"), Errc::unsupported},
  }));
  INFO(row.name);
  auto source = read_layer_source(row.text);
  REQUIRE_FALSE(source);
  CHECK(source.error().code() == row.code);
  CHECK_FALSE(source.error().text().empty());
}

TEST_CASE("layer source: every name that Python knows UTF-8 by, and others where the text is ASCII",
          "[inspect]") {
  for (const char* name : {"utf-8", "UTF_8", "utf8", "u8", "utf", "utf-", "utf--8", "-utf-8", "utf-8-",
                           "utf_8_sig", "utf8-ucs2", "cp65001", "utf-8-unix"}) {
    CAPTURE(name);
    CHECK(read_layer_source("# vim: fileencoding=" + std::string(name) + " :\nx = '\u00e9'\n"));
  }
  for (const char* name : {"ascii", "us-ascii", "646", "latin-1", "iso-8859-1", "l1", "cp1252",
                           "latin_1-unix", "iso-latin-1", "iso-8859-1-dos"}) {
    CAPTURE(name);
    CHECK(read_layer_source("#!/usr/bin/python\n# coding: " + std::string(name) + "\nx = 1\n"));
  }
  // Only where it stands alone in one of the first two lines, behind nothing but comments.
  CHECK(read_layer_source("x = 1\n# coding: utf-7\n"));
  CHECK(read_layer_source("\n\n# coding: utf-7\n"));
  CHECK_FALSE(read_layer_source(" \f\n# coding: utf-7\n"));
}

TEST_CASE("layer source: classes with bases, members and constructors, in order", "[inspect]") {
  auto source = read_layer_source(
      std::string(kImports) +
      "class B(nn . Module,  # root\n  Generic[T, int], *more, metaclass=M):\n"
      "  '''doc'''\n  count: int = 0\n  def __init__(self): self.y = 1\n  @property\n  def size(self): pass\n"
      "  import math as m\n  for i in x: j = i\n  class Inner: k = 1\n  count = 1\n  def extra_repr(self): "
      "pass\n"
      "class _C: pass\nclass B: pass\nclass A(B): other = 1\n");
  REQUIRE(source);
  REQUIRE(source->classes.size() == 4);
  const auto& first = source->classes[0];
  CHECK(first.bases == std::vector<std::string>{"nn . Module", "Generic[T, int]", "*more"});
  CHECK(first.defines_init);
  CHECK(first.members == std::vector<std::string>{"count", "size", "m", "i", "j", "Inner", "extra_repr"});
  CHECK(layer_names(*source) == std::vector<std::string>{"B", "A"});
  auto layer = describe_layer(*source, "A");
  CHECK(layer.defines_init);
  CHECK(layer.extra_members == std::vector<std::string>{"count", "size", "m", "i", "j", "Inner", "other"});
  CHECK(source->imported.at("nn") == "torch.nn");
  CHECK(source->imported.at("torch") == "torch");
}
