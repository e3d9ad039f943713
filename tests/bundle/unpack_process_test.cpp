// The process that unpacks reads bytes of others, so what it says is not believed either.

#include "unpack_process.h"

#include <cstring>
#include <random>

#include <fcntl.h>
#include <unistd.h>

#include "support/catch.h"
#include "support/seed.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::test;

namespace {

/// One message, as the child writes it.
std::string message(std::uint32_t kind, std::uint64_t value, const std::string& bytes,
                    std::optional<std::uint32_t> stated = {}) {
  std::string out(16, '\0');
  auto length = stated.value_or(static_cast<std::uint32_t>(bytes.size()));
  std::memcpy(out.data(), &kind, 4);
  std::memcpy(out.data() + 4, &length, 4);
  std::memcpy(out.data() + 8, &value, 8);
  return out + bytes;
}

/// Listens to a file with these answers.
void listen(bundle::UnpackProcess& process, const TempFolder& temp, const std::string& answers) {
  put(temp / "answers", answers);
  process.listen(UniqueFd(::open((temp / "answers").c_str(), O_RDONLY | O_CLOEXEC)), "`k.tar.zst`");
}

}  // namespace

TEST_CASE("unpacking: messages come through as they were sent", "[bundle]") {
  TempFolder temp;
  bundle::UnpackProcess process;
  listen(process, temp, message(2, 7, "index.json") + message(3, 0, "content") + message(4, 0, ""));
  auto entry = process.next();
  REQUIRE(entry);
  CHECK(entry->text() == "index.json");
  CHECK(entry->value == 7);
  CHECK(process.next()->text() == "content");
  CHECK(process.next()->kind == bundle::Message::Kind::done);
}

TEST_CASE("unpacking: a process that ends early, or says what makes no sense, is refused", "[bundle]") {
  TempFolder temp;
  for (const auto& answers : {std::string(), std::string("x"), message(2, 7, "index", 100), message(9, 0, ""),
                              message(0, 0, ""), message(3, 0, "", 0xffffffff), message(3, 0, "", 1 << 20)}) {
    bundle::UnpackProcess process;
    listen(process, temp, answers);
    auto next = process.next();
    REQUIRE_FALSE(next);
    CHECK(next.error().code() == Errc::integrity);
    CHECK_THAT(next.error().text(), contains("(rule reader)"));
  }
}

TEST_CASE("unpacking: what it says to the terminal is one line of text", "[bundle]") {
  TempFolder temp;
  bundle::UnpackProcess process;
  listen(process, temp, message(5, 0, "\x1b[2Jall is \xff well\nnothing to see" + std::string(5000, 'x')));
  auto next = process.next();
  REQUIRE_FALSE(next);
  CHECK(next.error().text().starts_with("?[2Jall is ? well?nothing to see"));
  CHECK(next.error().text().size() <= 1000);
}

TEST_CASE("unpacking: random answers end in a refusal", "[bundle]") {
  std::mt19937_64 random(seed());
  TempFolder temp;
  for (int round = 0; round < 200; ++round) {
    std::string answers;
    for (int i = 0; i < 5; ++i)
      answers += message(static_cast<std::uint32_t>(1 + random() % 6), random() % 8,
                         std::string(random() % 40, 'x'), static_cast<std::uint32_t>(random() % 60));
    bundle::UnpackProcess process;
    listen(process, temp, answers);
    int messages = 0;
    while (process.next())
      ++messages;
    CHECK(messages <= 30);
  }
}
