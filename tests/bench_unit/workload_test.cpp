#include "kernels/bench/workload.h"

#include <algorithm>

#include "kernels/base/file.h"
#include "kernels/model/native_layers.h"

#include "support/catch.h"
#include "support/hub_tree.h"

using namespace kernels;
using namespace kernels::bench;

namespace {

constexpr const char* kGood = R"(
schema = 1
[[functions]]
name = "f"
reference = "f_reference"
independent = "rows"
arguments = [
  {name = "out", access = "write", shape = ["rows", "2*cols"]},
  {name = "x", access = "read-write", shape = ["rows", "cols"]},
  {name = "eps", value = 1e-6},
]
[functions.tolerance]
float16 = {relative = 1e-3, absolute = 1e-6}
[[workloads]]
name = "w"
sizes = {rows = 4, cols = 8}
dtypes = ["float16"]
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("workloads: a complete file is read", "[bench]") {
  const auto file = parse_workloads(kGood);
  if (!file) FAIL(describe(file.error()));
  const FunctionSpec& f = file->functions.at(0);
  CHECK(f.reference == "f_reference");
  CHECK(f.independent == "rows");
  REQUIRE(f.arguments.size() == 3);
  CHECK(f.arguments[1].access == Access::read_write);
  CHECK(f.arguments[2].value == 1e-6);
  const Sizes& sizes = file->workloads.at(0).sizes;
  CHECK(*shape_of(f.arguments[0], sizes) == std::vector<std::int64_t>{4, 16});
  CHECK(*bytes_moved(f, sizes, DType::float16) == 2 * (4 * 16 + 2 * 4 * 8));
  CHECK(describe(sizes) == "cols=8 rows=4");
}

TEST_CASE("workloads: the files of our own kernels are read", "[bench]") {
  for (const auto& variant : test::built_variants()) {
    auto text = read_file(variant.folder / "workloads.toml");
    REQUIRE(text);
    const auto file = parse_workloads(*text);
    if (!file) FAIL(variant.folder << ": " << describe(file.error()));
    CHECK_FALSE(file->functions.empty());
    CHECK(file->workloads.size() >= 3);
  }
}

TEST_CASE("workloads: layers.toml states the tolerances of the functions that it names", "[bench]") {
  for (const auto& variant : test::built_variants()) {
    const auto file = parse_workloads(*read_file(variant.folder / "workloads.toml"));
    const auto layers = parse_native_layers(*read_file(variant.folder / "layers.toml"), "layers.toml");
    REQUIRE(file);
    if (!layers) FAIL(variant.folder << ": " << describe(layers.error()));
    // A layer's outputs have the type of its input: what writes another one is a function only.
    for (const auto& function : file->functions) {
      const bool is_layer = std::ranges::none_of(function.arguments, [](const ArgumentSpec& argument) {
        return argument.access != Access::read && argument.dtype.has_value();
      });
      INFO(variant.folder << " " << function.name);
      CHECK(std::ranges::count(layers->layers, function.name, &NativeLayer::function) >= (is_layer ? 1 : 0));
    }
    for (const auto& layer : layers->layers) {
      auto function = std::ranges::find(file->functions, layer.function, &FunctionSpec::name);
      REQUIRE(function != file->functions.end());
      CHECK(layer.arguments.size() == function->arguments.size());
      CHECK(layer.tolerance.size() == function->tolerance.size());
      for (const auto& [dtype, tolerance] : function->tolerance) {
        const auto& stated = layer.tolerance.at(std::string(runtime::name_of(dtype)));
        CHECK(stated.relative == tolerance.relative);
        CHECK(stated.absolute == tolerance.absolute);
      }
    }
  }
}

TEST_CASE("workloads: hostile and mistaken files are refused", "[bench]") {
  struct Row {
    const char* name;
    const char* from;
    const char* to;
  };
  const auto row = GENERATE(values<Row>({
      {"another schema", "schema = 1", "schema = 2"},
      {"no syntax", "schema = 1", "schema = = 1"},
      {"negative size", "rows = 4", "rows = -4"},
      {"huge size", "rows = 4", "rows = 9223372036854775807"},
      {"size is text", "rows = 4", "rows = \"4\""},
      {"huge factor", "2*cols", "99999999999999*cols"},
      {"factor overflows", "2*cols", "1099511627776*1099511627776"},
      {"no expression", "2*cols", "2*(cols+1)"},
      {"no access", "access = \"write\"", "access = \"maybe\""},
      {"nothing is written", "access = \"write\", shape = [\"rows\", \"2*cols\"]", "value = 1.0"},
      {"tolerance lets all pass", "relative = 1e-3", "relative = 1e9"},
      {"tolerance is NaN", "relative = 1e-3", "relative = nan"},
      {"unknown data type", "float16 =", "float17 ="},
      {"unknown data type of a workload", "dtypes = [\"float16\"]", "dtypes = [\"int4\"]"},
      {"a name with a slash", "name = \"f\"", "name = \"../f\""},
      {"no name", "name = \"w\"", "title = \"w\""},
      {"shape without sizes", "shape = [\"rows\", \"cols\"]", "shape = []"},
  }));
  DYNAMIC_SECTION(row.name) {
    auto text = replaced(kGood, row.from, row.to);
    if (std::string(row.name) == "nothing is written") text = replaced(text, "read-write", "read");
    const auto file = parse_workloads(text);
    REQUIRE_FALSE(file);
    CHECK((file.error().code() == Errc::corrupt || file.error().code() == Errc::unsupported));
  }
}

TEST_CASE("workloads: a baseline and the operations of a call are optional, and counted", "[bench]") {
  const auto plain = parse_workloads(kGood);
  REQUIRE(plain);
  CHECK(plain->functions[0].baseline.empty());
  CHECK(flops_of(plain->functions[0], {{"rows", 4}}) == 0);
  const std::string reference = "reference = \"f_reference\"\n";
  const auto with = [&](const std::string& lines) {
    return parse_workloads(replaced(kGood, reference, reference + lines));
  };
  const auto both = with("baseline = \"g\"\nflops = [\"2*rows*cols\", \"rows\"]\n");
  REQUIRE(both);
  CHECK(both->functions[0].baseline == "g");
  CHECK(flops_of(both->functions[0], {{"rows", 4}, {"cols", 8}}) == 68);
  CHECK(flops_of(both->functions[0], {{"rows", 4}}).error().text().find("`cols`") != std::string::npos);
  CHECK_FALSE(
      flops_of(both->functions[0], {{"rows", std::int64_t{1} << 40}, {"cols", std::int64_t{1} << 40}}));
  for (const char* bad : {"baseline = \"a b\"\n", "baseline = 1\n", "flops = []\n", "flops = \"rows\"\n",
                          "flops = [\"rows+1\"]\n", "flops = [1]\n"}) {
    CAPTURE(bad);
    const auto refused = with(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::corrupt);
  }
}

namespace {

/// Arguments of types of their own: codes and scales out, places in, and a table of which rows are looked up.
constexpr const char* kTyped = R"(
schema = 1
[[functions]]
name = "f"
reference = "f_reference"
independent = "rows"
arguments = [
  {name = "out", access = "write", shape = ["rows", "cols"], dtype = "float8_e4m3fn", tolerance = {relative = 0.07, absolute = 1e-3}},
  {name = "places", access = "read", shape = ["rows"], dtype = "int32", below = "2*entries"},
  {name = "table", access = "read", shape = ["2*entries", "cols"], moved = ["rows", "cols"]},
  {name = "count", access = "read-write", shape = ["rows"], dtype = "int64", below = "9", tolerance = {relative = 0, absolute = 0}},
]
[functions.tolerance]
float16 = {relative = 1e-3, absolute = 1e-6}
)";

}  // namespace

TEST_CASE("workloads: an argument has the type of the case or its own, and its own tolerance", "[bench]") {
  const auto file = parse_workloads(kTyped);
  if (!file) FAIL(describe(file.error()));
  const auto& function = file->functions.at(0);
  const auto& arguments = function.arguments;
  CHECK(dtype_of(arguments[0], DType::float16) == DType::float8_e4m3fn);
  CHECK(arguments[0].tolerance == Tolerance{0.07, 1e-3});
  CHECK(dtype_of(arguments[1], DType::float16) == DType::int32);
  CHECK(dtype_of(arguments[2], DType::float16) == DType::float16);
  CHECK_FALSE(arguments[2].tolerance);
  const Sizes sizes = {{"rows", 3}, {"cols", 5}, {"entries", 100}};
  CHECK(limit_of(arguments[1], sizes) == 200U);
  CHECK(limit_of(arguments[3], sizes) == 9U);
  // Three rows of the table are looked up, not 200.
  CHECK(bytes_moved(arguments[2], sizes, DType::float16) == 3U * 5 * 2);
  CHECK(bytes_moved(function, sizes, DType::float16) == 3U * 5 + 3 * 4 + 3 * 5 * 2 + 2 * 3 * 8);
  CHECK(operand_bytes(function, sizes, DType::float16) == 3U * 5 + 3 * 4 + 200 * 5 * 2 + 3 * 8);
  // Where more rows are looked up than the table has, all of it is moved.
  const Sizes many = {{"rows", 3000}, {"cols", 5}, {"entries", 100}};
  CHECK(bytes_moved(arguments[2], many, DType::float16) == 200U * 5 * 2);
}

TEST_CASE("workloads: random whole numbers have a limit that their type has", "[bench]") {
  const auto file = parse_workloads(kTyped);
  REQUIRE(file);
  const auto& places = file->functions[0].arguments[1];
  CHECK(limit_of(places, {{"entries", 0}}) == 1U);
  CHECK(limit_of(places, {{"entries", std::int64_t{1} << 30}}) == std::uint64_t{1} << 31);
  const auto large = limit_of(places, {{"entries", (std::int64_t{1} << 30) + 1}});
  REQUIRE_FALSE(large);
  CHECK(large.error().text().find("`places`") != std::string::npos);
  CHECK_FALSE(limit_of(places, {{"entries", std::int64_t{1} << 40}}));
  CHECK(limit_of(places, {{"rows", 1}}).error().text().find("`entries`") != std::string::npos);
}

TEST_CASE("workloads: mistakes about the type of an argument are refused by its name", "[bench]") {
  struct Row {
    const char* name;
    const char* from;
    const char* to;
    const char* named;
  };
  const auto row = GENERATE(values<Row>({
      {"unknown type", "\"int32\"", "\"int4\"", "`places`"},
      {"type is a number", "dtype = \"int32\"", "dtype = 32", "`places`"},
      {"whole numbers without a limit", ", below = \"2*entries\"", "", "`places`"},
      {"a limit of floating-point numbers", "moved = [\"rows\", \"cols\"]", "below = \"rows\"", "`table`"},
      {"a limit of what is only written", "\"read-write\"", "\"write\"", "`count`"},
      {"a limit that is no size", "below = \"9\"", "below = \"9-1\"", "`count`"},
      {"a limit that is a number", "below = \"9\"", "below = 9", "`count`"},
      {"a huge limit", "below = \"9\"", "below = \"99999999999999\"", "`count`"},
      {"an output without a tolerance", ", tolerance = {relative = 0.07, absolute = 1e-3}", "", "`out`"},
      {"a tolerance that is a number", "{relative = 0.07, absolute = 1e-3}", "0.07", "`out`"},
      {"a tolerance that lets all pass", "relative = 0.07", "relative = 0.7", "`out`"},
      {"a tolerance of what is read", "below = \"2*entries\"",
       "below = \"2*entries\", tolerance = {relative = 0, absolute = 0}", "`places`"},
      {"a tolerance of the case's type", "moved = [\"rows\", \"cols\"]",
       "tolerance = {relative = 0, absolute = 0}", "`table`"},
      {"nothing is moved", "moved = [\"rows\", \"cols\"]", "moved = []", "`table`"},
      {"what is moved is text", "moved = [\"rows\", \"cols\"]", "moved = \"rows\"", "`table`"},
      {"a case of whole numbers", "float16 =", "int32 =", "`int32`"},
  }));
  DYNAMIC_SECTION(row.name) {
    const auto file = parse_workloads(replaced(kTyped, row.from, row.to));
    REQUIRE_FALSE(file);
    CHECK(file.error().code() == Errc::corrupt);
    CAPTURE(describe(file.error()));
    CHECK(describe(file.error()).find(row.named) != std::string::npos);
  }
}

TEST_CASE("workloads: sizes by hand may be those of a limit and of what is moved", "[bench]") {
  const auto file = parse_workloads(kTyped);
  REQUIRE(file);
  const auto hand = parse_hand_workload("rows=3,cols=5,entries=7");
  REQUIRE(hand);
  const auto workload = to_workload(*hand, *file);
  REQUIRE(workload);
  CHECK(workload->functions == std::vector<std::string>{"f"});
  CHECK(workload->dtypes == std::vector{DType::float16});
  const auto few = parse_hand_workload("rows=3,cols=5");
  REQUIRE(few);
  CHECK_FALSE(to_workload(*few, *file));
}

TEST_CASE("workloads: shapes that would overflow or never end are refused when they are used", "[bench]") {
  const auto file = parse_workloads(kGood);
  REQUIRE(file);
  const ArgumentSpec& out = file->functions[0].arguments[0];
  CHECK_FALSE(shape_of(out, {{"rows", std::int64_t{1} << 40}, {"cols", std::int64_t{1} << 40}}));
  CHECK_FALSE(shape_of(out, {{"rows", 1}}));
  CHECK(shape_of(out, {{"rows", 0}, {"cols", std::int64_t{1} << 38}}));
}

TEST_CASE("workloads: too long a file and too many entries are refused", "[bench]") {
  CHECK_FALSE(parse_workloads(std::string(2 << 20, '#')));
  std::string many = kGood;
  for (int i = 0; i < 300; ++i)
    many += "[[probes]]\nsizes = {rows = 1, cols = 1}\n";
  CHECK_FALSE(parse_workloads(many));
}
