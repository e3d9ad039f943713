#include "support/faulty_hub.h"

#include <fstream>

#include "kernels/cache/import.h"
#include "kernels/ops/serve.h"

#include "support/catch.h"
#include "support/raw_http.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::test;

namespace {

const std::string kContent = "LFS payload\n";
const std::string kTarget = "/kernels/acme/relu/resolve/v1/build/torch-cpu/data.bin";
const std::string kTree = "/api/kernels/acme/relu/tree/v1";

struct Lying {
  Lying() {
    put(temp / "src/build/torch-cpu/data.bin", kContent);
    put(temp / "src/build/torch-cpu/__init__.py", "");
    cache::ImportRequest what{.folder = temp / "src", .repo = *RepoId::parse("acme/relu"), .version = 1};
    REQUIRE(cache::import_folder(cache::Layout(temp / "hub"), what));
    auto started = ops::serve({.cache = temp / "hub", .options = {}});
    REQUIRE(started);
    server = std::move(*started);
    faulty = std::make_unique<FaultyHub>(server->port());
  }

  RawAnswer ask(Lie lie, std::string_view headers = "", const std::string& target = kTarget) {
    faulty->clear_faults();
    faulty->add({.lie = std::move(lie)});
    return get(faulty->port(), target, headers);
  }

  TempFolder temp;
  std::unique_ptr<hub::HubServer> server;
  std::unique_ptr<FaultyHub> faulty;
};

}  // namespace

TEST_CASE("faulty hub: without a fault both sides pass unchanged", "[hub]") {
  Lying hub;
  auto direct = get(hub.server->port(), kTarget, "Range: bytes=4-\r\n");
  auto through = get(hub.faulty->port(), kTarget, "Range: bytes=4-\r\nX-Mine: 1\r\n");
  CHECK(through.status == 206);
  CHECK(through.body == direct.body);
  CHECK(through.header("content-range") == direct.header("content-range"));
  auto seen = hub.faulty->seen();
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].method == "GET");
  CHECK(seen[0].target == kTarget);
  CHECK(seen[0].header("x-mine") == "1");
  CHECK(seen[0].status == 206);
  CHECK(seen[0].body_bytes == 8);
  CHECK_FALSE(seen[0].lied);
}

TEST_CASE("faulty hub: addresses that the server makes lead through the proxy", "[hub]") {
  Lying hub;
  auto page = get(hub.faulty->port(), kTree + "?recursive=true&limit=1");
  CHECK(page.header("link").starts_with("<" + hub.faulty->url() + "/api/"));
}

TEST_CASE("faulty hub: connections are kept, bodies of requests pass", "[hub]") {
  Lying hub;
  RawConnection connection(hub.faulty->port());
  for (int i = 0; i < 3; ++i) {
    connection.send("HEAD " + kTarget + " HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(connection.receive("HEAD").status == 200);
  }
  connection.send(
      "POST /api/kernels/acme/relu/paths-info/v1 HTTP/1.1\r\nHost: h\r\nContent-Type: "
      "application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\npaths=build");
  CHECK(connection.receive().body.find("\"directory\"") != std::string::npos);
  auto seen = hub.faulty->seen();
  REQUIRE(seen.size() == 4);
  CHECK(seen[3].body == "paths=build");
  CHECK(seen[3].connection == seen[0].connection);
}

TEST_CASE("faulty hub: a fault meets the requests that it names", "[hub]") {
  Lying hub;
  hub.faulty->add(
      {.method = "GET", .path_pattern = "resolve/.*bin$", .first = 2, .times = 1, .lie = lie::status(503)});
  CHECK(get(hub.faulty->port(), kTarget).status == 200);
  CHECK(get(hub.faulty->port(), kTree).status == 200);
  CHECK(request(hub.faulty->port(), "HEAD", kTarget).status == 200);
  CHECK(get(hub.faulty->port(), kTarget).status == 503);
  CHECK(get(hub.faulty->port(), kTarget).status == 200);
  CHECK(hub.faulty->count("GET", "resolve") == 3);
  CHECK(hub.faulty->count("", "resolve") == 4);
  hub.faulty->forget_seen();
  CHECK(hub.faulty->seen().empty());
}

TEST_CASE("faulty hub: it lies about statuses", "[hub]") {
  Lying hub;
  auto limited = hub.ask(lie::rate_limited(7));
  CHECK(limited.status == 429);
  CHECK(limited.header("retry-after") == "7");
  CHECK(hub.ask(lie::rate_limited_window(3)).header("ratelimit") == "\"resolvers\";r=0;t=3");
  auto loop = hub.ask(lie::redirect_loop());
  CHECK(loop.status == 302);
  CHECK(loop.header("location") == hub.faulty->url() + kTarget);
  CHECK(hub.ask(lie::redirect(307, "file:///etc/passwd")).header("location") == "file:///etc/passwd");
  CHECK(hub.ask(lie::json_garbage()).body == "[{\"path\": ");
}

TEST_CASE("faulty hub: it lies about bodies", "[hub]") {
  Lying hub;
  auto cut = hub.ask(lie::cut_after(5));
  CHECK(cut.body == kContent.substr(0, 5));
  CHECK(cut.header("content-length") == "12");
  CHECK(hub.ask(lie::truncated_to(3)).body == "LFS");
  auto shortened = hub.ask(lie::shortened_to(3), "Range: bytes=4-\r\n");
  CHECK(shortened.status == 206);
  CHECK(shortened.body == "pay");
  CHECK(shortened.header("content-length") == "3");
  CHECK(shortened.header("content-range") == "bytes 4-11/12");
  auto flipped = hub.ask(lie::flipped_at(4));
  CHECK(flipped.body.size() == kContent.size());
  CHECK(flipped.body != kContent);
  CHECK(flipped.body.substr(5) == kContent.substr(5));
  auto whole = hub.ask(lie::range_ignored(), "Range: bytes=4-\r\n");
  CHECK(whole.status == 200);
  CHECK(whole.body == kContent);
  auto zipped = hub.ask(lie::gzip_encoded());
  CHECK(zipped.header("content-encoding") == "gzip");
  CHECK(zipped.body.substr(0, 2) == "\x1f\x8b");
  CHECK(zipped.body.find(kContent) != std::string::npos);
  // CRC-32 and size of the content, little-endian, as zlib computes them.
  CHECK(zipped.body.substr(zipped.body.size() - 8) == std::string("\x21\x41\xf9\x9a\x0c\0\0\0", 8));
}

TEST_CASE("faulty hub: more bytes come than were declared", "[hub]") {
  Lying hub;
  hub.faulty->add({.lie = lie::longer_by(4)});
  RawConnection connection(hub.faulty->port());
  connection.send("GET " + kTarget + " HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(connection.receive().body == kContent);
  CHECK_FALSE(connection.closed_within(std::chrono::seconds(2)));
}

TEST_CASE("faulty hub: it lies about headers", "[hub]") {
  Lying hub;
  CHECK(hub.ask(lie::wrong_content_range("bytes 0-3/12"), "Range: bytes=4-\r\n").header("content-range") ==
        "bytes 0-3/12");
  CHECK(hub.ask(lie::without_header("ETag")).header("etag").empty());
  CHECK(hub.ask(lie::duplicate_etag("\"other\"")).head.find("ETag: \"other\"") != std::string::npos);
  CHECK(hub.ask(lie::huge_header()).header("x-huge").size() == 1U << 20U);
  CHECK(hub.ask(lie::header("Link", "<http://elsewhere/>; rel=\"next\""), "", kTree).header("link") ==
        "<http://elsewhere/>; rel=\"next\"");
}

TEST_CASE("faulty hub: slow, silent and endless answers end with the server", "[hub]") {
  Lying hub;
  hub.faulty->add({.path_pattern = "trickle", .lie = lie::byte_by_byte(std::chrono::milliseconds(1))});
  hub.faulty->add({.path_pattern = "chunks", .lie = lie::endless_chunks()});
  hub.faulty->add({.path_pattern = "half", .lie = lie::stalled_after(4)});
  hub.faulty->add({.path_pattern = "nothing", .lie = lie::stalled()});
  CHECK(get(hub.faulty->port(), kTarget + "?trickle").body == kContent);
  RawConnection endless(hub.faulty->port());
  RawConnection half(hub.faulty->port());
  RawConnection nothing(hub.faulty->port());
  endless.send("GET " + kTarget + "?chunks HTTP/1.1\r\nHost: h\r\n\r\n");
  half.send("GET " + kTarget + "?half HTTP/1.1\r\nHost: h\r\n\r\n");
  nothing.send("GET " + kTarget + "?nothing HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK_FALSE(nothing.closed_within(std::chrono::milliseconds(200)));
  auto begin = std::chrono::steady_clock::now();
  hub.faulty.reset();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  CHECK(half.receive().body == "LFS ");
}
