#include "kernels/base/hash.h"

#include <random>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;

namespace {
std::string git_hex(std::string_view content) {
  auto hasher = Hasher::git_blob(content.size());
  hasher.update(content);
  return hasher.finish_hex();
}
std::string base64(HashAlgorithm algorithm, std::string_view content) {
  Hasher hasher(algorithm);
  hasher.update(content);
  return to_base64(hasher.finish());
}
std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
}  // namespace

TEST_CASE("hash: the values that git, the Hub and metadata.json use", "[base]") {
  CHECK(git_hex("") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  CHECK(git_hex("hello world") == "95d09f2b10159347eece71399a7e2e907ea3df4f");
  CHECK(base64(HashAlgorithm::sha256, "hello world") == "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=");
  CHECK(base64(HashAlgorithm::sha512, "hello world") ==
        "MJ7MSJwS1utMxA9QyQLytNDtd+5RGnx6m808qG1M2G+YndNbxf9JlnDaNCVbRbDP2DDoH2Bdz33FVC6TrpzXbw==");
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("hash: every algorithm has the size that it says", "[base]") {
  auto algorithm = GENERATE(HashAlgorithm::sha1, HashAlgorithm::sha256, HashAlgorithm::sha512);
  CHECK(Hasher(algorithm).finish().size() == hash_size(algorithm));
}

TEST_CASE("hash: how a content is cut into pieces does not matter", "[base]") {
  std::mt19937_64 random(test::seed());
  std::string content(70'000, '\0');
  for (auto& c : content)
    c = static_cast<char>(random());
  Hasher hasher(HashAlgorithm::sha256);
  for (std::size_t at = 0; at < content.size();) {
    auto length = std::min<std::size_t>(content.size() - at, random() % 4097);
    hasher.update(std::string_view(content).substr(at, length));
    at += length;
  }
  Hasher moved = std::move(hasher);
  CHECK(moved.finish_hex() == sha256_hex(content));
}

TEST_CASE("hexadecimal: bytes survive, anything but 0-9 a-f in pairs is refused", "[base]") {
  std::string_view raw("\x00\x7f\xff\x10", 4);
  CHECK(to_hex(bytes_of(raw)) == "007fff10");
  auto back = from_hex("007fff10");
  REQUIRE(back);
  CHECK(to_hex(*back) == "007fff10");
  CHECK(from_hex("")->empty());
  for (const char* bad : {"0", "0g", "AB", " 0", "0x"}) {
    CAPTURE(bad);
    CHECK_FALSE(from_hex(bad));
  }
}

TEST_CASE("base64: the vectors of RFC 4648, both ways", "[base]") {
  struct Row {
    const char* plain;
    const char* encoded;
  };
  auto row = GENERATE(values<Row>({{"", ""},
                                   {"f", "Zg=="},
                                   {"fo", "Zm8="},
                                   {"foo", "Zm9v"},
                                   {"foob", "Zm9vYg=="},
                                   {"fooba", "Zm9vYmE="},
                                   {"foobar", "Zm9vYmFy"}}));
  CAPTURE(row.plain);
  CHECK(to_base64(bytes_of(row.plain)) == row.encoded);
  auto decoded = from_base64(row.encoded);
  REQUIRE(decoded);
  CHECK(to_hex(*decoded) == to_hex(bytes_of(row.plain)));
}

TEST_CASE("base64: anything that is not its one standard form is refused", "[base]") {
  const auto* text = GENERATE("Z", "Zg", "Zg=", "Zg===", "=", "====", "Zm9v\n", "Zm 9v", "Zm-_",
                              "Zg==Zg==", "Z===", "é===", "Zh==", "Zm9=");
  CAPTURE(text);
  CHECK_FALSE(from_base64(text));
}

TEST_CASE("lower hex: the length and every character count", "[base]") {
  CHECK(is_lower_hex(std::string(40, 'a'), 40));
  CHECK(is_lower_hex("", 0));
  CHECK_FALSE(is_lower_hex(std::string(40, 'a'), 64));
  CHECK_FALSE(is_lower_hex("0123456789abcdeF", 16));
}

TEST_CASE("hash: HMAC-SHA256 has the values of RFC 4231", "[base]") {
  auto hmac = [](std::string_view key, std::string_view text) {
    return hmac_sha256_hex(std::as_bytes(std::span(key)), text);
  };
  CHECK(hmac(std::string(20, '\x0b'), "Hi There") ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(hmac("Jefe", "what do ya want for nothing?") ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(hmac(std::string(20, '\xaa'), std::string(50, '\xdd')) ==
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}
