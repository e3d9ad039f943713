#include "kernels/model/native_layers.h"

#include "support/catch.h"

using namespace kernels;
using test::contains;

namespace {

const std::string kLayer = R"(schema = 1
[[layers]]
name = "RMSNorm"
function = "rms_norm"
forward = [{name = "x"}, {name = "scale", type = "float"}]
members = [{name = "weight"}, {name = "eps", type = "float", members = ["variance_epsilon", "eps"]}]
outputs = [{name = "out", like = "x"}]
arguments = ["out", "x", "weight", "eps", "scale"]
returns = ["out"]
has_backward = false
[layers.tolerance]
float32 = {relative = 1e-5, absolute = 1e-6}
)";

std::string with(const std::string& from, const std::string& to) {
  auto text = kLayer;
  auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("native layers: a declaration is read as it is written", "[model]") {
  auto read = parse_native_layers(kLayer, "`layers.toml`");
  REQUIRE(read);
  const auto* layer = read->find("RMSNorm");
  REQUIRE(layer != nullptr);
  CHECK(layer->signature() == "RMSNorm.forward(x: tensor, scale: float) -> tensor");
  CHECK(layer->members.at(0).members == std::vector<std::string>{"weight"});
  CHECK(layer->members.at(1).members == std::vector<std::string>{"variance_epsilon", "eps"});
  CHECK_FALSE(layer->has_backward);
  CHECK_FALSE(layer->can_torch_compile);
  CHECK(layer->tolerance.at("float32") == NativeTolerance{.relative = 1e-5, .absolute = 1e-6});
  CHECK(read->find("rms_norm") == nullptr);
  CHECK(read->find_function("rms_norm") == nullptr);  // it needs members
}

TEST_CASE("native layers: Python's defaults hold where nothing is said", "[model]") {
  auto read = parse_native_layers(with("has_backward = false\n", ""), "x");
  REQUIRE(read);
  CHECK(read->layers.at(0).has_backward);
}

TEST_CASE("native layers: what is wrong is told with its line", "[model]") {
  struct Row {
    const char* name;
    std::string text;
    const char* says;
  };
  const std::vector<Row> rows = {
      {"no TOML", "schema = [", "`layers.toml`:1"},
      {"another schema", with("schema = 1", "schema = 2"), "expected `schema = 1`"},
      {"no layers", "schema = 1\n", "[[layers]]"},
      {"unknown key", with("has_backward", "has_backwards"), "`layers.toml`:2: unknown key `has_backwards`"},
      {"flag that is a text", with("= false", "= \"no\""), "expected true or false for `has_backward`"},
      {"unknown type", with("\"float\"}]\nmembers", "\"tensr\"}]\nmembers"), "`tensr` is not a type"},
      {"argument that is not defined", with("\"weight\", \"eps\", \"scale\"]", "\"weights\", \"eps\"]"),
       "the argument `weights` is not defined"},
      {"name twice", with("{name = \"weight\"}", "{name = \"x\"}"), "the name `x` is defined twice"},
      {"output like a number", with("like = \"x\"", "like = \"scale\""), "which is no tensor of `forward`"},
      {"output that nobody fills", with("[\"out\", \"x\"", "[\"x\""), "should be one of `arguments`, once"},
      {"return of a number", with("returns = [\"out\"]", "returns = [\"scale\"]"), "`returns` names `scale`"},
      {"tolerance that lets all pass", with("relative = 1e-5", "relative = 2"), "a tolerance needs"},
      {"no tolerance", with("[layers.tolerance]\nfloat32 = {relative = 1e-5, absolute = 1e-6}\n", ""),
       "expected a tolerance"},
      {"divisor of nothing", with("like = \"x\"", "like = \"x\", divide_last = 0"), "from 1 to 65536"},
      {"twice the same", kLayer + kLayer.substr(kLayer.find("[[")), "is declared twice"},
      {"outside ASCII", with("RMSNorm", "RMS\xc3\xa4"), "`layers.toml`:3"},
  };
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      auto read = parse_native_layers(row.text, "`layers.toml`");
      REQUIRE_FALSE(read);
      CHECK(read.error().code() == Errc::corrupt);
      CHECK_THAT(describe(read.error()), contains(row.says));
    }
  }
}
