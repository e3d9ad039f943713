#include "kernels/inspect/module_names.h"

#include "support/catch.h"

using namespace kernels;
using kernels::inspect::read_module_names;
using Names = std::vector<std::string>;

TEST_CASE("module names: functions of the top level, without those that are private or nested", "[inspect]") {
  auto names = read_module_names(
      "import torch\n"
      "from ._ops import ops\n"
      "@decorated\n"
      "def silu(x):\n"
      "    def inner(): pass\n"
      "    return x\n"
      "async def later(): pass\n"
      "def _private(): pass\n"
      "class A:\n"
      "    def method(self): pass\n"
      "def silu(x, y): pass\n"
      "x = 1; y = 2\n");
  REQUIRE(names);
  CHECK(names->functions == Names{"silu", "later"});
  CHECK_FALSE(names->all);
  CHECK(names->modules == Names{"torch"});
}

TEST_CASE("module names: a plain __all__ is the list, anything else is not known", "[inspect]") {
  struct Row {
    const char* text;
    std::optional<Names> all;
  };
  std::vector<Row> rows = {{"__all__ = ['a', \"b\"]\n", Names{"a", "b"}},
                           {"__all__ = ('a',)\n", Names{"a"}},
                           {"__all__ = []\n", Names{}},
                           {"__all__ = [name for name in x]\n", std::nullopt},
                           {"__all__ = ['a']\n__all__ += ['b']\n", std::nullopt},
                           {"__all__ = ['a' 'b']\n", Names{"a", "b"}},
                           {"__all__ = [f'a']\n", std::nullopt},
                           {"if x:\n    __all__ = ['a']\n", std::nullopt},
                           {"", std::nullopt}};
  for (const auto& row : rows) {
    INFO(row.text);
    auto names = read_module_names(row.text);
    REQUIRE(names);
    CHECK(names->all == row.all);
  }
}

TEST_CASE("module names: imports from elsewhere are found wherever they stand", "[inspect]") {
  auto names = read_module_names(
      "import os, triton.language as tl\n"
      "try:\n"
      "    from cutlass.cute import jit\n"
      "except ImportError: pass\n"
      "def f():\n"
      "    import helion\n"
      "from . import own\n"
      "from .other import thing\n"
      "x = 1; import einops\n");
  REQUIRE(names);
  CHECK(names->modules == Names{"cutlass", "einops", "helion", "os", "triton"});
}

TEST_CASE("module names: what is no Python is an error", "[inspect]") {
  CHECK_FALSE(read_module_names("def (:\n"));
  CHECK_FALSE(read_module_names("x = 'unterminated\n"));
  CHECK_FALSE(read_module_names("\xff\xfe"));
}
