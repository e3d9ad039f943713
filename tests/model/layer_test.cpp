#include "kernels/model/layer.h"

#include "support/catch.h"

using namespace kernels;

TEST_CASE("mode: the sets that can be written, and no others", "[model]") {
  struct Row {
    const char* text;
    const char* shown;  ///< empty: refused
  };
  auto row = GENERATE(values<Row>({{"inference", "inference"},
                                   {"training", "training"},
                                   {"fallback", "fallback"},
                                   {"inference|torch-compile", "inference|torch-compile"},
                                   {"torch-compile|training", "training|torch-compile"},
                                   {"inference|inference", "inference"},
                                   {"torch-compile", ""},
                                   {"inference|training", ""},
                                   {"fallback|inference", ""},
                                   {"fallback|torch-compile", ""},
                                   {"", ""},
                                   {"|", ""},
                                   {"inference|", ""},
                                   {"Inference", ""},
                                   {"inference,training", ""}}));
  CAPTURE(row.text);
  auto mode = Mode::parse(row.text);
  CHECK((mode ? mode->str() : "") == row.shown);
  if (!mode) CHECK(mode.error().code() == Errc::invalid_argument);
}

TEST_CASE("device: every name reads back, a slip gets a suggestion", "[model]") {
  for (const auto& name : device_names()) {
    CAPTURE(name);
    CHECK(to_string(*parse_device(name)) == name);
  }
  auto device = parse_device("coda");
  REQUIRE_FALSE(device);
  CHECK(device.error().hint() == "did you mean `cuda`?");
  CHECK_FALSE(parse_device("CUDA"));
}

TEST_CASE("capability range: both ends belong to it", "[model]") {
  CapabilityRange range{.min = 75, .max = 90};
  CHECK(range.contains(75));
  CHECK(range.contains(90));
  CHECK_FALSE(range.contains(74));
  CHECK_FALSE(range.contains(91));
  CHECK(CapabilityRange{}.contains(0));
}
