#include "kernels/bench/results.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "measurement_json_impl.h"
#include "random_results.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;
using detail::Json;

namespace {

/// One row of everything: the device, what ran, three samples, a limit.
Results one_row() {
  Results out;
  out.program = "kernels 0.1.0";
  out.started = "2026-11-22T17:12:54Z";
  out.host = "rack1-07";
  out.settings = {.seed = 7, .precision = 0.005, .budget_seconds = 2};
  auto& device = out.devices.emplace_back();
  device.kind = "cuda";
  device.name = "NVIDIA H200";
  device.uuid = "GPU-1";
  out.subjects.emplace_back().kernel = "kernels-community/rmsnorm";
  ResultRow row;
  row.function = "rms_norm";
  row.workload = "llama";
  row.sizes = {{"cols", 4096}, {"rows", 0}};
  row.result.verdict = Verdict::right;
  row.result.timing.emplace();
  row.result.timing->series[SeriesKind::cold].samples = {100, 101.5, 99};
  row.result.timing->series[SeriesKind::limit].samples = {80, 81, 79};
  row.result.timing->bytes = 1000;
  out.rows = {row};
  return out;
}

Json document() {
  return Json::parse(encode_results(one_row()));
}

Result<Results> parse(const Json& json) {
  return parse_results(json.dump(), "old.json");
}

/// Where in the document, and what stands there instead; null `value`: the member is left out.
struct Damage {
  const char* name;
  const char* pointer;
  Json value;
  const char* complaint;
};

}  // namespace

TEST_CASE("results: what was written is read again, value for value", "[bench]") {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    const auto results = test::random_results(random);
    const auto written = encode_results(results);
    const auto read = parse_results(written, "results");
    INFO((read ? "" : describe(read.error())));
    REQUIRE(read);
    REQUIRE(*read == results);
    REQUIRE(encode_results(*read) == written);
  }
}

TEST_CASE("results: a worker's answer is read as it was written", "[bench]") {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    const auto result = test::random_case_result(random);
    REQUIRE(case_result_from(Json::parse(to_json(result).dump()), "result") == result);
    const auto device = test::random_device(random);
    REQUIRE(device_from(Json::parse(to_json(device).dump()), "device") == device);
  }
}

TEST_CASE("results: not a number is written as infinity, and both are null", "[bench]") {
  auto results = one_row();
  results.rows[0].result.numerics = {.max_error = std::nan(""), .worst_share = HUGE_VAL, .checked = 3};
  const auto read = parse_results(encode_results(results), "results");
  REQUIRE(read);
  CHECK(read->rows[0].result.numerics.max_error == HUGE_VAL);
  CHECK(read->rows[0].result.numerics.worst_share == HUGE_VAL);
  CHECK(document()["rows"][0]["result"]["numerics"]["max_error"] == 0.0);
}

TEST_CASE("results: summaries stand beside the samples and are not believed", "[bench]") {
  auto json = document();
  auto& result = json["rows"][0]["result"];
  auto& cold = result["timing"]["series"]["cold"];
  CHECK(cold["summary"]["median_ns"] == 100.0);
  CHECK(result["timing"]["gb_per_s"] == 10.0);
  CHECK(result["share_of_limit"]["value"] == 0.8);
  cold["summary"]["median_ns"] = 1.0;
  result["timing"]["gb_per_s"] = "fast";
  result.erase("share_of_limit");
  const auto read = parse(json);
  REQUIRE(read);
  CHECK(*read == one_row());
}

TEST_CASE("results: members and series of a later program are left alone", "[bench]") {
  auto json = document();
  json["weather"] = "cloudy";
  json["rows"][0]["result"]["timing"]["series"]["lukewarm"] = {{"samples_ns", "none"}};
  const auto read = parse(json);
  REQUIRE(read);
  CHECK(*read == one_row());
}

TEST_CASE("results: a list of numbers is one line of a file", "[bench]") {
  const auto text = encode_results(one_row());
  CHECK_THAT(text, test::contains("\n              \"samples_ns\": [100.0, 101.5, 99.0]\n"));
  CHECK_THAT(text, test::contains("{\n  \"schema\": \"kernels.bench/1\",\n"));
  CHECK(text.ends_with("}\n"));
}

TEST_CASE("results: a text that is not UTF-8 does not spoil the file", "[bench]") {
  auto results = one_row();
  results.rows[0].result.reason = "cut \xc3";
  const auto read = parse_results(encode_results(results), "results");
  REQUIRE(read);
  CHECK(read->rows[0].result.reason == "cut \uFFFD");
}

TEST_CASE("results: another schema is unsupported and named", "[bench]") {
  auto json = document();
  json["schema"] = "kernels.bench/2";
  const auto read = parse(json);
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == Errc::unsupported);
  CHECK(read.error().text() == "old.json has the schema `kernels.bench/2`, not `kernels.bench/1`");
}

TEST_CASE("results: damage is named by its member", "[bench]") {
  const auto damages = std::vector<Damage>{
      {"no schema", "/schema", nullptr, "`schema` should be a string"},
      {"no rows", "/rows", nullptr, "`rows` should be an array, but is missing"},
      {"rows that are none", "/rows", "three", "`rows` should be an array, but is string"},
      {"a row that is none", "/rows/0", 3, "rows[0] should be an object, but is number"},
      {"no device", "/rows/0/device", 1, "`rows[0]` is of device 1 of 1"},
      {"no subject", "/rows/0/subject", 7, "`rows[0]` is of subject 7 of 1"},
      {"an index below 0", "/rows/0/subject", -1, "`subject` should be a whole number"},
      {"an index above all", "/rows/0/device", std::uint64_t{1} << 32, "`device` is too large"},
      {"another type", "/rows/0/dtype", "int4", "`dtype` cannot be `int4`"},
      {"another verdict", "/rows/0/result/verdict", "fine", "`verdict` cannot be `fine`"},
      {"a size below 0", "/rows/0/sizes/cols", -1, "`cols` in `sizes` should be a whole number"},
      {"a size above all", "/rows/0/sizes/cols", std::uint64_t{1} << 63, "not too large"},
      {"a size of words", "/rows/0/sizes/cols", "many", "`cols` in `sizes`"},
      {"a tolerance below 0", "/rows/0/tolerance/relative", -0.1, "`relative` is out of range: -0.1"},
      {"no error", "/rows/0/result/numerics/max_error", nullptr,
       "`max_error` should be a number, but is missing"},
      {"an error below 0", "/rows/0/result/numerics/max_error", -1e-9, "`max_error` is out of range: -1e-09"},
      {"a time of a wrong kernel", "/rows/0/result/verdict", "wrong", "a `timing` of what is `wrong`"},
      {"no samples", "/rows/0/result/timing/series/cold", nullptr, "`series` has no samples of `cold`"},
      {"a sample below 0", "/rows/0/result/timing/series/cold/samples_ns/1", -1, "`samples_ns[1]`"},
      {"a sample of centuries", "/rows/0/result/timing/series/cold/samples_ns/2", 2e18, "`samples_ns[2]`"},
      {"a sample of words", "/rows/0/result/timing/series/cold/samples_ns/0", "1", "`samples_ns[0]`"},
      {"another reason to stop", "/rows/0/result/timing/stopped", "tired", "`stopped` cannot be `tired`"},
      {"another kind of device", "/devices/0/kind", "abacus", "`kind` should be `cuda` or `cpu`"},
      {"no power", "/devices/0/power_limit_w", -1, "`power_limit_w` is out of range: -1"},
      {"ECC by half", "/devices/0/ecc", 0.5, "`ecc` should be true or false"},
      {"a seed below 0", "/settings/seed", -3, "`seed` should be a whole number"},
      {"settings of another kind", "/settings", Json::array(), "`settings` should be an object"},
      {"a range upside down",
       "/rows/0/result/timing/conditions/clock_mhz",
       {{"low", 2}, {"high", 1}},
       "`low`"},
      {"colder than cold",
       "/rows/0/result/timing/conditions/temperature_c",
       {{"low", -300}, {"high", 1}},
       "`low`"},
      {"a grid of two", "/rows/0/result/probe/launches", Json::parse(R"([{"name": "", "grid": [1, 2]}])"),
       "`grid` should be three whole numbers"}};
  for (const auto& damage : damages) {
    DYNAMIC_SECTION(damage.name) {
      auto json = document();
      const Json::json_pointer place(damage.pointer);
      if (damage.value.is_null())
        json.at(place.parent_pointer()).erase(place.back());
      else
        json.at(place) = damage.value;
      const auto read = parse(json);
      REQUIRE_FALSE(read);
      CHECK(read.error().code() == Errc::corrupt);
      CHECK_THAT(describe(read.error()), test::contains(damage.complaint));
      CHECK_THAT(describe(read.error()), test::contains("old.json"));
    }
  }
}

TEST_CASE("results: what is larger than any run is refused", "[bench]") {
  auto json = document();
  SECTION("rows") {
    json["rows"] = Json(std::vector<Json>(kMaxRows + 1));
    CHECK_THAT(describe(parse(json).error()), test::contains("`rows` has more than 100000 entries"));
  }
  SECTION("samples") {
    json["rows"][0]["result"]["timing"]["series"]["cold"]["samples_ns"] =
        std::vector<double>(kMaxSamples + 1);
    CHECK_THAT(describe(parse(json).error()), test::contains("`samples_ns` has more than 100000 entries"));
  }
  SECTION("bytes") {
    const auto read = parse_results(std::string((std::size_t{64} << 20) + 1, ' '), "old.json");
    CHECK(describe(read.error()) == "old.json has more than 64 MiB");
  }
  SECTION("members") {
    std::string object = "{";
    for (int i = 0; i <= 1000; ++i)
      object += "\"" + std::to_string(i) + "\": 0, ";
    const auto read = parse_results(object, "old.json");
    CHECK_THAT(describe(read.error()), test::contains("more than 1000 members in one object"));
  }
  SECTION("levels") {
    const auto read = parse_results(std::string(17, '['), "old.json");
    CHECK_THAT(describe(read.error()), test::contains("nested deeper than 16 levels"));
  }
  SECTION("values") {
    std::string list = "[0";
    for (int i = 0; i < 12'000'000; ++i)
      list += ",0";
    const auto read = parse_results(list, "old.json");
    CHECK_THAT(describe(read.error()), test::contains("more than 12000000 values"));
  }
}

TEST_CASE("results: a file that was cut off anywhere is corrupt", "[bench]") {
  const auto text = encode_results(one_row());
  for (std::size_t cut = 0; cut + 2 < text.size(); cut += 7) {
    CAPTURE(cut);
    const auto read = parse_results(text.substr(0, cut), "old.json");
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == Errc::corrupt);
  }
}

TEST_CASE("results: a run is right when every row is, as far as it can be checked", "[bench]") {
  auto results = one_row();
  CHECK(results.all_right());
  results.rows[0].result.verdict = Verdict::unchecked;
  CHECK(results.all_right());
  results.rows.push_back(results.rows[0]);
  results.rows[1].result.verdict = Verdict::misbehaved;
  CHECK_FALSE(results.all_right());
}
