// What a server, a proxy or anybody on the way can do to a download.

#include <array>

#include "kernels/hub/url.h"

#include "support/raw_http.h"
#include "victim.h"

using namespace kernels::test;

namespace {

/// The library is lied about; the program must say so, and keep nothing.
Outcome attack(Victim& victim, Lie lie, int status, const std::string& said) {
  victim.hub->add({.path_pattern = "\\.so", .lie = std::move(lie)});
  auto run = victim.download({{"HF_HUB_DOWNLOAD_TIMEOUT", "1"}});
  INFO(run.err);
  CHECK(run.status == status);
  CHECK(has(run.err, said));
  CHECK(has(run.err, "downloading `build/" + kVariant + "/_relu.so` of `acme/relu`"));
  CHECK_FALSE(has(run.out, "Downloaded"));
  check_nothing_was_kept(victim, status == 4 ? Partial::refused : Partial::allowed);
  victim.hub->clear_faults();
  auto again = victim.download();
  INFO(again.err);
  CHECK(again.status == 0);
  check_cache_is_valid(victim);
  return run;
}

/// Leaves the first 3000 bytes of the library behind, so that the next run asks for the rest.
void cut_off(Victim& victim) {
  std::filesystem::remove_all(victim.cache());
  victim.hub->clear_faults();
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::cut_after(3000)});
  REQUIRE(victim.download().status == 3);
  victim.hub->clear_faults();
  victim.hub->forget_seen();
}

}  // namespace

TEST_CASE("attack 1: a body of the right size with other bytes is refused", "[attacks]") {
  Victim victim;
  auto run = attack(victim, lie::flipped_at(4000), 4, "was locked");
  CHECK(has(run.err, "the content has the hash "));
}

TEST_CASE("attack 2: a body that ends early is no file, and one that is declared short is refused",
          "[attacks]") {
  Victim victim;
  attack(victim, lie::truncated_to(3000), 3, "while downloading");
  Victim other;
  attack(other, lie::shortened_to(3000), 4, "announces 3000 bytes, but");
}

TEST_CASE("attack 3: bytes beyond the declared length get into no file", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::longer_by(1000)});
  CHECK(victim.download().status == 0);
  check_cache_is_valid(victim);
}

TEST_CASE("attack 4: a body without an end is refused when it passes the locked size", "[attacks]") {
  Victim victim;
  attack(victim, lie::endless_chunks(), 4, "more than the ");
  std::uint64_t sent = 0;
  for (const auto& request : victim.hub->seen())
    if (has(request.target, ".so")) sent = std::max(sent, request.body_bytes);
  CHECK(sent < (8U << 20U));  // what was in the sockets' buffers
}

TEST_CASE("attack 5: a byte a second is no progress", "[attacks]") {
  Victim victim;
  attack(victim, lie::byte_by_byte(std::chrono::milliseconds(100)), 3, "no progress, in time");
}

TEST_CASE("attack 6: a whole file in answer to a range cannot shift the bytes", "[attacks]") {
  Victim victim;
  cut_off(victim);
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::range_ignored()});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(victim.hub->seen().front().header("range") == "bytes=3000-" + std::to_string(victim.cpu_size() - 1));
  check_cache_is_valid(victim);
}

TEST_CASE("attack 7: a range that was not asked for is not taken", "[attacks]") {
  Victim victim;
  for (const char* range : {"bytes 0-99/9999", "bytes 5-1/10", "bytes */9999",
                            "bytes 0-18446744073709551615/1", "octets 0-1/2", ""}) {
    CAPTURE(range);
    cut_off(victim);
    victim.hub->add({.path_pattern = "\\.so", .lie = lie::wrong_content_range(range)});
    auto run = victim.download();
    INFO(run.err);
    CHECK(run.status == 3);
    CHECK(has(run.err, "another range than was asked for"));
    check_nothing_was_kept(victim, Partial::allowed);
  }
}

TEST_CASE("attack 7: a library that is read in parts is not read from other places than were asked for",
          "[attacks]") {
  Victim victim;
  auto check = [&] {
    return victim.kernels({"check", "acme/relu", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1", "--json"},
                          {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}});
  };
  REQUIRE(check().status == 0);
  REQUIRE(victim.hub->count("GET", "\\.so") > 0);
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::wrong_content_range("bytes 1-64/5000")});
  auto run = check();
  INFO(run.out << run.err);
  CHECK(run.status != 0);
  CHECK(has(run.out + run.err, "another range than was asked for"));
}

TEST_CASE("attack 8: a range that overlaps what is there cannot replace those bytes", "[attacks]") {
  Victim victim;
  cut_off(victim);
  auto size = std::to_string(victim.cpu_size());
  auto last = std::to_string(victim.cpu_size() - 1);
  victim.hub->add(
      {.path_pattern = "\\.so", .lie = lie::wrong_content_range("bytes 2000-" + last + "/" + size)});
  auto run = victim.download();
  CHECK(run.status == 3);
  CHECK(has(run.err, "another range than was asked for"));
  check_nothing_was_kept(victim, Partial::allowed);
}

TEST_CASE("attack 9: \"not modified\" is no answer to a question without a condition", "[attacks]") {
  Victim victim;
  attack(victim, lie::status(304, {{"ETag", "\"old\""}}, ""), 3, "304");
  for (const auto& request : victim.hub->seen()) {
    CHECK(request.header("if-none-match").empty());
    CHECK(request.header("if-modified-since").empty());
  }
}

TEST_CASE("attack 10: an encoding that was not asked for is not undone", "[attacks]") {
  Victim victim;
  attack(victim, lie::gzip_encoded(), 3, "encoded as `gzip`, which was not asked for");
}

TEST_CASE("attack 11: a compressed bomb is neither unpacked nor stored", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::gzip_encoded()});
  auto run =
      victim.kernels({"download"}, {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}, .measure_memory = true});
  CHECK(run.status == 3);
  CHECK(run.peak_kib < 200 << 10);
  check_nothing_was_kept(victim, Partial::allowed);
  // An answer of the API that claims to be compressed is read as it came.
  victim.hub->clear_faults();
  victim.hub->add({.path_pattern = "/refs$", .lie = lie::gzip_encoded()});
  CHECK(victim.kernels({"lock", "--upgrade"}, {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}}).status == 3);
}

TEST_CASE("attack 13: a redirect to another kind of address is refused", "[attacks]") {
  const char* to = GENERATE("file:///etc/passwd", "gopher://127.0.0.1:70/x", "ftp://127.0.0.1/x", "data:,x",
                            "dict://127.0.0.1/", "FILE:///etc/passwd");
  CAPTURE(to);
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, to)});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "only http and https are spoken"));
  check_nothing_was_kept(victim);
}

TEST_CASE("attack 14: a redirect to a machine's own or a cloud's addresses is refused", "[attacks]") {
  Victim victim;
  const char* to =
      GENERATE("http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://2852039166/");
  CAPTURE(to);
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, to)});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "own addresses"));
  check_nothing_was_kept(victim);
  for (const char* from : {"https://huggingface.co/x", "http://mirror.example/x"})
    for (const char* own :
         {"https://127.0.0.1/", "https://localhost:8080/", "https://[::1]/", "https://0x7f.1/"}) {
      CAPTURE(from, own);
      CHECK_FALSE(kernels::hub::redirect_target(from, own));
    }
}

TEST_CASE("attack 15: another port is followed without the token", "[attacks]") {
  Victim victim;
  FaultyHub other(victim.server->port());
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, other.url() + "{target}")});
  auto run = victim.download({{"HF_TOKEN", "hf_canary"}});
  CHECK(run.status == 0);
  REQUIRE_FALSE(other.seen().empty());
  for (const auto& request : other.seen())
    CHECK(request.header("authorization").empty());
  CHECK(victim.hub->seen().front().header("authorization") == "Bearer hf_canary");
}

TEST_CASE("attack 16: a host that hides behind a user name is refused", "[attacks]") {
  Victim victim;
  auto to = GENERATE(as<std::string>{}, "http://huggingface.co@127.0.0.1:1/x",
                     "//huggingface.co:x@127.0.0.1:1/x", "http://127.0.0.1:1\\@huggingface.co/x");
  CAPTURE(to);
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, to)});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status != 0);
  CHECK_FALSE(has(run.err, "huggingface.co:x"));
  check_nothing_was_kept(victim, Partial::allowed);
}

TEST_CASE("attack 17: letters and dots that only look like those of a host are refused", "[attacks]") {
  Victim victim;
  auto to =
      GENERATE(as<std::string>{}, "http://huggingface。co/x", "http://127。0。0。1/x",
               "http://hugging\u0430ce.co/x", "http://127%2e0.0.1/x", "http://huggingface.co%00.evil/x");
  CAPTURE(to);
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, to)});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "characters that are not allowed"));
  check_nothing_was_kept(victim);
}

TEST_CASE("attack 18: a line break in a redirect makes no header and no request", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, "http://127.0.0.1:1/x\rX-Evil: 1")});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "control character"));
  CHECK_FALSE(has(run.err, "\r"));
  check_nothing_was_kept(victim);
  CHECK_FALSE(kernels::hub::redirect_target("https://h/a", "/x\r\nHost: evil"));
  CHECK_FALSE(kernels::hub::redirect_target("https://h/a", "/x\nHost: evil"));
}

TEST_CASE("attack 19: an answer with two lengths is refused", "[attacks]") {
  Victim victim;
  attack(victim, lie::chunks_and_length(), 3, "both a length and a transfer encoding");
}

TEST_CASE("attack 20: two different ETags, sizes or hashes in headers decide nothing", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::duplicate_etag("\"0000\"")});
  victim.hub->add({.path_pattern = "__init__", .lie = lie::header("X-Linked-Size", "1")});
  victim.hub->add({.path_pattern = "metadata", .lie = lie::header("X-Linked-Etag", "\"0000\"")});
  CHECK(victim.download().status == 0);
  check_cache_is_valid(victim);
}

TEST_CASE("attack 21: a circle of redirects ends", "[attacks]") {
  Victim victim;
  attack(victim, lie::redirect_loop(), 3, "more than 20 redirects");
  CHECK(victim.hub->count("GET", "\\.so") <= 22);
}

TEST_CASE("attack 22: a header of a mebibyte is refused", "[attacks]") {
  Victim victim;
  attack(victim, lie::huge_header(), 3, "headers are longer than 64 KiB");
}

TEST_CASE("attack 23: a connection that carried a token carries none once the request was led away",
          "[attacks]") {
  Victim victim;
  FaultyHub other(victim.server->port());
  victim.hub->add(
      {.path_pattern = "\\.so$", .times = 1, .lie = lie::redirect(302, other.url() + "{target}")});
  other.add({.path_pattern = "\\.so$", .lie = lie::redirect(302, victim.hub->url() + "{target}?back")});
  CHECK(victim.download({{"HF_TOKEN", "hf_canary"}}).status == 0);
  bool came_back = false;
  for (const auto& request : victim.hub->seen()) {
    bool is_back = has(request.target, "?back");
    came_back |= is_back;
    CHECK(request.header("authorization") == (is_back ? "" : "Bearer hf_canary"));
  }
  CHECK(came_back);
}
