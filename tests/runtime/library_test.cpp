#include "kernels/runtime/library.h"

#include <atomic>
#include <stdexcept>
#include <thread>

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::runtime;

namespace {

KernelLibrary open_activation() {
  for (const auto& variant : test::built_variants()) {
    if (variant.cuda || variant.kernel != "activation") continue;
    auto library = KernelLibrary::open(variant.library, test::provider_path());
    if (!library) FAIL(describe(library.error()));
    return std::move(*library);
  }
  throw std::logic_error("activation is not built");
}

}  // namespace

TEST_CASE("library: functions are listed without metadata and other reserved names", "[runtime]") {
  const auto library = open_activation();
  CHECK(library.functions() == std::vector<std::string>{"gelu_and_mul", "gelu_and_mul_reference",
                                                        "gelu_tanh_and_mul", "gelu_tanh_and_mul_reference",
                                                        "silu_and_mul", "silu_and_mul_reference"});
  CHECK(library.has("silu_and_mul"));
  CHECK_FALSE(library.has("silu"));
}

TEST_CASE("library: what a kernel raises arrives with its kind and text", "[runtime]") {
  const auto library = open_activation();
  const auto result = library.call("silu_and_mul", {});
  REQUIRE_FALSE(result);
  CHECK(result.error().kind == "TypeError");
  CHECK(result.error().message.find("Expected 2 but got 0 arguments") != std::string::npos);
  const auto absent = library.call("no_such_function", {});
  REQUIRE_FALSE(absent);
  CHECK(absent.error().kind == "AttributeError");
}

TEST_CASE("library: an error raised in one thread is not seen in another", "[runtime]") {
  const auto library = open_activation();
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 500; ++k) {
        const auto result = library.call("silu_and_mul", std::vector<Value>(static_cast<std::size_t>(k % 2)));
        const std::string wanted = "got " + std::to_string(k % 2) + " arguments";
        if (!result && result.error().message.find(wanted) != std::string::npos) ++right;
      }
    });
  threads.clear();
  CHECK(right == 2000);
}

TEST_CASE("library: functions that the provider lacks are named before anything is loaded", "[runtime]") {
  const auto library = KernelLibrary::open(KERNELS_TEST_NEEDY_LIBRARY, test::provider_path());
  REQUIRE_FALSE(library);
  CHECK(library.error().code() == Errc::unsupported);
  CHECK(library.error().text().find("TVMFFISomethingOfTheFuture") != std::string::npos);
}

TEST_CASE("library: a file that is no library is corrupt, an absent one not found", "[runtime]") {
  const test::TempFolder folder;
  test::put(folder / "text.so", "this is no machine code");
  const auto text = KernelLibrary::open(folder / "text.so", test::provider_path());
  REQUIRE_FALSE(text);
  CHECK(text.error().code() == Errc::corrupt);
  const auto absent = KernelLibrary::open(folder / "absent.so", test::provider_path());
  REQUIRE_FALSE(absent);
  CHECK(absent.error().code() == Errc::not_found);
}

TEST_CASE("signature: the text of the arity error is read", "[runtime]") {
  const auto signature = parse_signature(
      "Mismatched number of arguments when calling: `opts(0: DLTensor*, 1: Optional<DLTensor*>, 2: Map<str, "
      "int>) -> "
      "int`. Expected 3 but got -1 arguments");
  REQUIRE(signature);
  CHECK(signature->arguments ==
        std::vector<std::string>{"DLTensor*", "Optional<DLTensor*>", "Map<str, int>"});
  CHECK(signature->result == "int");
  const auto none = parse_signature("Mismatched number of arguments when calling: `f() -> None`. Expected 0");
  REQUIRE(none);
  CHECK(none->arguments.empty());
  for (const char* text : {"", "`", "``", "`f(`", "`f(0) -> x`", "no quotes at all"})
    CHECK_FALSE(parse_signature(text));
}
