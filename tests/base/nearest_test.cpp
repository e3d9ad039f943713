#include "kernels/base/nearest.h"

#include "support/catch.h"

using namespace kernels;

TEST_CASE("nearest: a slip of the finger is found, another word is not", "[base]") {
  const std::vector<std::string> words = {"dependencies", "layers", "targets", "trust"};
  struct Row {
    const char* word;
    const char* expected;
  };
  auto row = GENERATE(values<Row>({{"dependancies", "dependencies"},
                                   {"dependency", "dependencies"},
                                   {"layer", "layers"},
                                   {"target", "targets"},
                                   {"truts", "trust"},
                                   {"tust", "trust"},
                                   {"trust", "trust"},
                                   {"version", ""},
                                   {"", ""},
                                   {"Layers", "layers"}}));
  CAPTURE(row.word);
  CHECK(nearest(row.word, words).value_or("") == row.expected);
}

TEST_CASE("nearest: a tie goes to the earlier candidate, and no candidates give nothing", "[base]") {
  CHECK(nearest("cat", std::vector<std::string>{"car", "can"}) == "car");
  CHECK_FALSE(nearest("cat", {}));
}
