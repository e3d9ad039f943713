#include "kernels/ops/serve.h"

#include <atomic>
#include <mutex>
#include <thread>

#include <nlohmann/json.hpp>

#include "kernels/base/hash.h"
#include "kernels/cache/import.h"

#include "support/catch.h"
#include "support/raw_http.h"
#include "support/temp_folder.h"

using namespace kernels;
using kernels::test::get;
using kernels::test::put;
using kernels::test::RawConnection;
using kernels::test::request;
using nlohmann::json;

namespace {

const std::string kPayload = "LFS payload\n";
const std::string kPayloadHash = "1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a";
const std::string kInit = "from . import layers\n";
const std::string kInitHash = "084c3e1d6a96eabac9160729d1a393352a0bf096";
const std::string kApi = "/api/kernels/acme/relu";
const std::string kFiles = "/kernels/acme/relu/resolve/";

/// A served cache with one imported kernel.
struct Served {
  explicit Served(hub::ServeOptions options = {}) {
    auto variant = temp / "src/build/torch-cpu";
    put(temp / "src/README.md", "z\n");
    put(variant / "__init__.py", kInit);
    put(variant / "metadata.json", "{\"version\":1}\n");
    put(variant / "sub-x.txt", "dash\n");
    put(variant / "sub.txt", "dot\n");
    put(variant / "sub/data.bin", kPayload);
    put(variant / "empty.py", "");
    put(variant / "a b#1%é.py", "odd\n");
    commit = import();
    auto started = ops::serve({.cache = temp / "hub", .options = std::move(options)});
    REQUIRE(started);
    server = std::move(*started);
    port = server->port();
  }

  std::string import(std::string_view repo = "acme/relu", std::optional<std::string> revision = {}) {
    cache::ImportRequest what{.folder = temp / "src", .repo = *RepoId::parse(repo), .durable = Durable::no};
    what.revision = std::move(revision);
    auto report = cache::import_folder(cache::Layout(temp / "hub"), what);
    REQUIRE(report);
    return report->commit.str();
  }

  test::TempFolder temp;
  std::string commit;
  std::unique_ptr<hub::HubServer> server;
  int port = 0;
};

std::vector<std::string> paths_of(const std::string& body) {
  std::vector<std::string> out;
  for (const auto& entry : json::parse(body))
    out.push_back(entry["path"]);
  return out;
}

}  // namespace

TEST_CASE("serve: repository, revision and refs name the imported commit", "[hub]") {
  Served hub({.trusted_publishers = {"acme"}});
  hub.import("acme/relu", "refs/pr/1");
  hub.import("acme/relu", "v0.0.2");
  for (const std::string& target : {kApi, kApi + "/revision/v1", kApi + "/revision/main",
                                    kApi + "/revision/refs%2Fpr%2F1", kApi + "/revision/" + hub.commit}) {
    CAPTURE(target);
    auto answer = get(hub.port, target);
    CHECK(answer.status == 200);
    auto info = json::parse(answer.body);
    CHECK(info["sha"] == hub.commit);
    CHECK(info["id"] == "acme/relu");
    CHECK(info["trustedPublisher"] == true);
    CHECK(info["supportedDriverFamilies"] == json{"cpu"});
  }
  auto refs = json::parse(get(hub.port, kApi + "/refs?include_prs=1").body);
  CHECK(refs["branches"].size() == 2);
  CHECK(refs["branches"][1] == json{{"name", "v1"}, {"ref", "refs/heads/v1"}, {"targetCommit", hub.commit}});
  CHECK(refs["tags"][0]["name"] == "v0.0.2");
  CHECK(refs["pullRequests"][0] == json{{"name", "1"}, {"ref", "refs/pr/1"}, {"targetCommit", hub.commit}});
  CHECK_FALSE(json::parse(get(hub.port, kApi + "/refs").body).contains("pullRequests"));
}

TEST_CASE("serve: without `main` the highest version stands for it", "[hub]") {
  Served hub;
  put(hub.temp / "src/build/torch-cpu/metadata.json", "{\"version\":12}\n");
  auto newest = hub.import();
  std::filesystem::remove(hub.temp / "hub/kernels--acme--relu/refs/main");
  CHECK(json::parse(get(hub.port, kApi).body)["sha"] == newest);
}

TEST_CASE("serve: trees list files with their hashes in git's order", "[hub]") {
  Served hub;
  auto answer = get(hub.port, kApi + "/tree/v1/build%2Ftorch-cpu?recursive=true&expand=false");
  REQUIRE(answer.status == 200);
  CHECK(paths_of(answer.body) ==
        std::vector<std::string>{"build/torch-cpu/__init__.py", "build/torch-cpu/a b#1%é.py",
                                 "build/torch-cpu/empty.py", "build/torch-cpu/metadata.json",
                                 "build/torch-cpu/sub-x.txt", "build/torch-cpu/sub.txt",
                                 "build/torch-cpu/sub", "build/torch-cpu/sub/data.bin"});
  auto entries = json::parse(answer.body);
  CHECK(entries[0] ==
        json{{"type", "file"}, {"oid", kInitHash}, {"size", 21}, {"path", "build/torch-cpu/__init__.py"}});
  CHECK(entries[6] == json{{"type", "directory"},
                           {"oid", "898819f39053481d46b18433384080a278e18d1f"},
                           {"size", 0},
                           {"path", "build/torch-cpu/sub"}});
  CHECK(entries[7] == json{{"type", "file"},
                           {"oid", "4803d7e5becc0fc5f933f6fc5f49c03d397f2dab"},
                           {"size", 12},
                           {"lfs", {{"oid", kPayloadHash}, {"size", 12}, {"pointerSize", 127}}},
                           {"path", "build/torch-cpu/sub/data.bin"}});
  CHECK(get(hub.port, kApi + "/tree/" + hub.commit + "/build/torch-cpu?recursive=true").body == answer.body);
  CHECK(paths_of(get(hub.port, kApi + "/tree/v1").body) == std::vector<std::string>{"README.md", "build"});
  CHECK(paths_of(get(hub.port, kApi + "/tree/v1/build").body) == std::vector<std::string>{"build/torch-cpu"});
  auto expanded = json::parse(get(hub.port, kApi + "/tree/v1?expand=true").body);
  CHECK(expanded[0]["lastCommit"]["id"] == hub.commit);
}

TEST_CASE("serve: pages follow the link and hold every entry once", "[hub]") {
  Served hub;
  auto whole = paths_of(get(hub.port, kApi + "/tree/v1?recursive=true").body);
  std::vector<std::string> pieces;
  std::string target = kApi + "/tree/v1?recursive=true&limit=3";
  for (int page = 0; page < 20 && !target.empty(); ++page) {
    auto answer = get(hub.port, target);
    for (auto& path : paths_of(answer.body))
      pieces.push_back(std::move(path));
    auto link = answer.header("link");
    auto origin = "<" + hub.server->url();
    target = link.empty() ? "" : link.substr(origin.size(), link.find('>') - origin.size());
    if (!link.empty()) CHECK((link.starts_with(origin) && link.ends_with(">; rel=\"next\"")));
  }
  CHECK(pieces == whole);
}

TEST_CASE("serve: paths-info takes a form or JSON and leaves out what does not exist", "[hub]") {
  Served hub;
  auto form = request(hub.port, "POST", kApi + "/paths-info/v1",
                      "Content-Type: application/x-www-form-urlencoded\r\n",
                      "paths=build&paths=nope&paths=build%2Ftorch-cpu%2Fsub%2Fdata.bin&expand=false");
  CHECK(form.status == 200);
  CHECK(paths_of(form.body) == std::vector<std::string>{"build", "build/torch-cpu/sub/data.bin"});
  auto as_json = request(hub.port, "POST", kApi + "/paths-info/v1", "Content-Type: application/json\r\n",
                         R"({"paths": ["build", "nope", "build/torch-cpu/sub/data.bin"]})");
  CHECK(as_json.body == form.body);
  // More than the library takes of a form by itself.
  std::string many = "paths=build";
  while (many.size() < 100000)
    many += "&paths=build%2Ftorch-cpu%2Fsub%2Fdata.bin-absent";
  CHECK(paths_of(request(hub.port, "POST", kApi + "/paths-info/v1",
                         "Content-Type: application/x-www-form-urlencoded\r\n", many)
                     .body) == std::vector<std::string>{"build"});
  CHECK(request(hub.port, "POST", kApi + "/paths-info/v1", "Content-Type: application/json\r\n",
                "{\"paths\": 3}")
            .body == "[]");
}

TEST_CASE("serve: files carry the headers that clients decide by", "[hub]") {
  Served hub;
  auto small = get(hub.port, kFiles + "v1/build/torch-cpu/__init__.py");
  CHECK(small.status == 200);
  CHECK(small.body == kInit);
  CHECK(small.header("etag") == "\"" + kInitHash + "\"");
  CHECK(small.header("x-repo-commit") == hub.commit);
  CHECK(small.header("accept-ranges") == "bytes");
  CHECK(small.header("x-linked-etag").empty());
  auto large = request(hub.port, "HEAD", kFiles + hub.commit + "/build/torch-cpu/sub/data.bin");
  CHECK(large.status == 200);
  CHECK(large.header("content-length") == "12");
  CHECK(large.header("x-linked-etag") == "\"" + kPayloadHash + "\"");
  CHECK(large.header("x-linked-size") == "12");
  CHECK(get(hub.port, kFiles + "v1/build/torch-cpu/a%20b%231%25%C3%A9.py").body == "odd\n");
  auto empty = get(hub.port, kFiles + "v1/build/torch-cpu/empty.py");
  CHECK(empty.status == 200);
  CHECK(empty.header("content-length") == "0");
}

TEST_CASE("serve: ranges and conditions", "[hub]") {
  Served hub;
  auto target = kFiles + "v1/build/torch-cpu/sub/data.bin";
  auto part = get(hub.port, target, "Range: bytes=4-6\r\n");
  CHECK(part.status == 206);
  CHECK(part.body == "pay");
  CHECK(part.header("content-range") == "bytes 4-6/12");
  CHECK(get(hub.port, target, "Range: bytes=-3\r\n").body == "ad\n");
  auto outside = get(hub.port, target, "Range: bytes=12-\r\n");
  CHECK(outside.status == 416);
  CHECK(outside.header("content-range") == "bytes */12");
  CHECK(get(hub.port, target, "Range: bytes=4-\r\nIf-Range: \"other\"\r\n").status == 200);
  CHECK(get(hub.port, target, "Range: bytes=4-\r\nIf-Range: \"" + kPayloadHash + "\"\r\n").status == 206);
  CHECK(get(hub.port, target, "Range: bytes=0-1,3-4\r\n").body == kPayload);
  auto fresh = get(hub.port, target, "If-None-Match: \"" + kPayloadHash + "\"\r\n");
  CHECK(fresh.status == 304);
  CHECK(fresh.body.empty());
  CHECK(request(hub.port, "HEAD", target, "Range: bytes=4-6\r\n").header("content-length") == "3");
}

TEST_CASE("serve: on request it redirects as the Hub does", "[hub]") {
  Served hub({.large_files = hub::Delivery::redirect, .small_files = hub::Delivery::redirect});
  auto large = get(hub.port, kFiles + "v1/build/torch-cpu/sub/data.bin");
  CHECK(large.status == 302);
  CHECK(large.header("x-linked-etag") == "\"" + kPayloadHash + "\"");
  CHECK(large.header("x-repo-commit") == hub.commit);
  auto location = large.header("location");
  const std::string host = "http://127.0.0.1:";
  REQUIRE(location.starts_with(host));
  auto cdn = std::stoi(location.substr(host.size()));
  CHECK(cdn != hub.port);
  auto target = location.substr(location.find("/_cdn/"));
  auto content = get(cdn, target, "Range: bytes=4-\r\n");
  CHECK(content.status == 206);
  CHECK(content.body == "payload\n");
  CHECK(content.header("etag") != "\"" + kPayloadHash + "\"");
  CHECK(get(cdn, target.substr(0, target.size() - 1) + "x").status == 403);
  CHECK(get(cdn, target, "Authorization: Bearer hf_x\r\n").status == 400);
  CHECK(get(cdn, kApi).status == 404);
  CHECK(get(hub.port, target).status == 404);

  auto small = get(hub.port, kFiles + "v1/build/torch-cpu/a%20b%231%25%C3%A9.py");
  CHECK(small.status == 307);
  REQUIRE(small.header("location").starts_with("/api/resolve-cache/kernels/"));
  auto cached = get(hub.port, small.header("location"));
  CHECK(cached.body == "odd\n");
  CHECK(cached.header("x-repo-commit") == hub.commit);
}

TEST_CASE("serve: every refusal has the Hub's code", "[hub]") {
  Served hub;
  struct Row {
    std::string method;
    std::string target;
    int status;
    std::string code;
  };
  const std::vector<Row> rows = {
      {"GET", "/api/kernels/acme/none", 404, "RepoNotFound"},
      {"GET", "/api/kernels/acme/re--lu", 404, "RepoNotFound"},
      {"GET", "/api/kernels/..%2F..%2Fetc/passwd", 404, "RepoNotFound"},
      {"GET", kApi + "/revision/v9", 404, "RevisionNotFound"},
      {"GET", kApi + "/revision/..%2F..%2Fmain", 404, "RevisionNotFound"},
      {"GET", kApi + "/revision/" + std::string(40, 'a'), 404, "RevisionNotFound"},
      {"GET", kApi + "/tree/v1/nothing", 404, "EntryNotFound"},
      {"GET", kApi + "/tree/v1/README.md", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/kernel-status.toml", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/build", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/build/../README.md", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/%2e%2e/%2e%2e/%2e%2e/refs/v1", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/build%2f..%2fREADME.md", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/README.md%00.py", 404, "EntryNotFound"},
      {"GET", kFiles + "v1//etc/passwd", 404, "EntryNotFound"},
      {"GET", kFiles + "v1/README%", 400, ""},
      {"GET", "/", 404, ""},
      {"GET", "/api/models/acme/relu", 404, ""},
      {"GET", "/api/whoami-v2", 401, ""},
      {"GET", "/api/organizations/nobody/overview", 404, ""},
      {"PUT", kApi, 405, ""},
      {"DELETE", kFiles + "v1/README.md", 405, ""},
      {"POST", kApi + "/tree/v1", 405, ""},
      {"GET", kApi + "/paths-info/v1", 405, ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.method, row.target);
    auto answer = request(hub.port, row.method, row.target);
    CHECK(answer.status == row.status);
    CHECK(answer.header("x-error-code") == row.code);
    CHECK_FALSE(answer.header("x-request-id").empty());
    CHECK_FALSE(answer.header("x-error-message").empty());
    if (row.code == "EntryNotFound") CHECK(answer.header("x-repo-commit") == hub.commit);
  }
}

TEST_CASE("serve: only named publishers are trusted", "[hub]") {
  Served hub({.trusted_publishers = {"other"}});
  CHECK(json::parse(get(hub.port, "/api/organizations/acme/overview").body)["trustedKernelPublisher"] ==
        false);
  CHECK(json::parse(get(hub.port, "/api/organizations/other/overview").body)["trustedKernelPublisher"] ==
        true);
  Served all({.trusted_publishers = {"*"}});
  CHECK(json::parse(get(all.port, "/api/organizations/acme/overview").body)["trustedKernelPublisher"] ==
        true);
}

TEST_CASE("serve: with a token nothing is said without it", "[hub]") {
  Served hub({.token = Secret("hf_x"), .large_files = hub::Delivery::redirect});
  CHECK(get(hub.port, kApi).status == 401);
  CHECK(get(hub.port, kApi, "Authorization: Bearer hf_y\r\n").status == 401);
  CHECK(get(hub.port, kFiles + "v1/README.md").status == 401);
  CHECK(get(hub.port, kApi, "Authorization: Bearer hf_x\r\n").status == 200);
  // The addresses of large files are signed: they need no token, and must not see it.
  auto large = get(hub.port, kFiles + "v1/build/torch-cpu/sub/data.bin", "Authorization: Bearer hf_x\r\n");
  auto location = large.header("location");
  auto cdn = std::stoi(location.substr(std::string("http://127.0.0.1:").size()));
  CHECK(get(cdn, location.substr(location.find("/_cdn/"))).body == kPayload);
}

TEST_CASE("serve: what is added to the cache is seen at once", "[hub]") {
  Served hub;
  CHECK(get(hub.port, kFiles + "v1/LICENSE").status == 404);
  put(hub.temp / "src/LICENSE", "free\n");
  auto commit = hub.import();
  CHECK(commit != hub.commit);
  CHECK(get(hub.port, kFiles + "v1/LICENSE").body == "free\n");
  CHECK(get(hub.port, kFiles + hub.commit + "/LICENSE").status == 404);
  // A later download adds a variant to a snapshot that is known already.
  auto snapshot = hub.temp / ("hub/kernels--acme--relu/snapshots/" + commit);
  put(snapshot / "build/torch-cuda/__init__.py", "new\n");
  CHECK(get(hub.port, kFiles + "v1/build/torch-cuda/__init__.py").body == "new\n");
}

TEST_CASE("serve: links that leave the cache are not served", "[hub]") {
  Served hub;
  put(hub.temp / "secret", "private\n");
  auto snapshot = hub.temp / ("hub/kernels--acme--relu/snapshots/" + hub.commit);
  std::filesystem::create_symlink(hub.temp / "secret", snapshot / "a.txt");
  std::filesystem::create_directory_symlink(hub.temp.path(), snapshot / "folder");
  CHECK(get(hub.port, kFiles + "v1/a.txt").status == 404);
  CHECK(get(hub.port, kFiles + "v1/folder/secret").status == 404);
  // A blob that was replaced by a link.
  auto blob = hub.temp / ("hub/kernels--acme--relu/blobs/" + kInitHash);
  std::filesystem::remove(blob);
  std::filesystem::create_symlink(hub.temp / "secret", blob);
  CHECK(get(hub.port, kFiles + "v1/build/torch-cpu/__init__.py").body.find("private") == std::string::npos);
}

TEST_CASE("serve: one connection answers request after request", "[hub]") {
  Served hub;
  RawConnection connection(hub.port);
  std::string one = "GET " + kFiles + "v1/README.md HTTP/1.1\r\nHost: h\r\n\r\n";
  for (int i = 0; i < 50; ++i) {
    REQUIRE(connection.send(one));
    CHECK(connection.receive().body == "z\n");
  }
  REQUIRE(connection.send(one + one + one));
  for (int i = 0; i < 3; ++i)
    CHECK(connection.receive().body == "z\n");
}

TEST_CASE("serve: malformed requests are refused and do no harm", "[hub]") {
  Served hub;
  struct Row {
    std::string name;
    std::string bytes;
  };
  const std::vector<Row> rows = {
      {"not HTTP", "\x16\x03\x01\x02garbage\r\n\r\n"},
      {"no version", "GET /\r\n\r\n"},
      {"future version", "GET / HTTP/9.9\r\n\r\n"},
      {"long target", "GET /" + std::string(100000, 'a') + " HTTP/1.1\r\n\r\n"},
      {"long post target", "POST /" + std::string(5000, 'a') + " HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"},
      {"huge header", "GET / HTTP/1.1\r\nX: " + std::string(1 << 20, 'a') + "\r\n\r\n"},
      {"very many headers", "GET / HTTP/1.1\r\n" +
                                [] {
                                  std::string lines;
                                  for (int i = 0; i < 20000; ++i)
                                    lines += "X: 1\r\n";
                                  return lines;
                                }() +
                                "\r\n"},
      {"length and chunks",
       "POST " + kApi +
           "/paths-info/v1 HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"two lengths",
       "POST " + kApi + "/paths-info/v1 HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
      {"endless body", "POST " + kApi + "/paths-info/v1 HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nabc"},
      {"bad chunk", "POST " + kApi + "/paths-info/v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
      {"zero bytes", std::string("GET /\0\0 HTTP/1.1\r\n\r\n", 20)},
      {"header injection", "GET /%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: a\r\n\r\n"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    RawConnection connection(hub.port);
    connection.send(row.bytes);
    if (row.name != "endless body") {
      auto answer = connection.receive();
      CHECK((answer.status == 0 || answer.status >= 400));
      CHECK(answer.header("x-evil").empty());
    }
    CHECK(get(hub.port, kApi).status == 200);
  }
}

TEST_CASE("serve: a body where none belongs is not taken for a request", "[hub]") {
  Served hub;
  RawConnection connection(hub.port);
  connection.send(
      "GET " + kApi +
      " HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\nGET /api/whoami-v2 HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(connection.receive().status == 200);
  CHECK(connection.closed_within(std::chrono::seconds(2)));
}

TEST_CASE("serve: clients that say nothing do not keep others out", "[hub]") {
  Served hub({.max_threads = 4});
  std::vector<std::unique_ptr<RawConnection>> quiet;
  for (int i = 0; i < 3; ++i) {
    quiet.push_back(std::make_unique<RawConnection>(hub.port));
    quiet.back()->send("GET /api");
  }
  // More connections than threads, kept alive by their clients: each gets its turn.
  std::vector<std::unique_ptr<RawConnection>> kept;
  for (int i = 0; i < 20; ++i) {
    kept.push_back(std::make_unique<RawConnection>(hub.port));
    kept.back()->send("GET " + kApi + " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  for (auto& connection : kept)
    CHECK(connection->receive().status == 200);
}

TEST_CASE("serve: a connection is kept while others are opened", "[hub]") {
  Served hub;
  std::atomic<bool> all_open = false;
  std::vector<std::unique_ptr<RawConnection>> others;
  std::thread opener([&] {
    for (int i = 0; i < 200; ++i) {
      others.push_back(std::make_unique<RawConnection>(hub.port));
      others.back()->send("GET " + kApi + " HTTP/1.1\r\nHost: h\r\n\r\n");
      others.back()->receive();
    }
    all_open = true;
  });
  RawConnection kept(hub.port);
  int answers = 0;
  int refused = 0;
  while (!all_open && refused == 0) {
    kept.send("GET " + kApi + " HTTP/1.1\r\nHost: h\r\n\r\n");
    auto answer = kept.receive();
    if (answer.status != 200 || answer.header("connection") == "close") ++refused;
    ++answers;
  }
  opener.join();
  INFO("answers on the kept connection: " << answers);
  CHECK(refused == 0);
}

TEST_CASE("serve: many clients at once get whole files", "[hub]") {
  Served hub;
  std::string big(3 << 20, 'x');
  for (std::size_t i = 0; i < big.size(); i += 4096)
    big[i] = static_cast<char>('a' + i / 4096 % 26);
  put(hub.temp / "src/build/torch-cpu/big.so", big);
  hub.import();
  std::atomic<int> right = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 64; ++i)
    clients.emplace_back([&] {
      if (get(hub.port, kFiles + "v1/build/torch-cpu/big.so").body == big) ++right;
    });
  for (auto& client : clients)
    client.join();
  CHECK(right == 64);
}

TEST_CASE("serve: stopping ends transfers and frees the port", "[hub]") {
  Served hub;
  std::string big(32 << 20, 'x');
  put(hub.temp / "src/build/torch-cpu/big.so", big);
  hub.import();
  RawConnection slow(hub.port);
  slow.send("GET " + kFiles + "v1/build/torch-cpu/big.so HTTP/1.1\r\nHost: h\r\n\r\n");
  RawConnection idle(hub.port);
  CHECK(get(hub.port, kApi).status == 200);
  auto begin = std::chrono::steady_clock::now();
  hub.server->stop();
  hub.server->stop();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  auto again = ops::serve({.cache = hub.temp / "hub", .options = {.port = hub.port}});
  REQUIRE(again);
  auto taken = ops::serve({.cache = hub.temp / "hub", .options = {.port = hub.port}});
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code() == Errc::io);
}

TEST_CASE("serve: the access log has every request", "[hub]") {
  std::mutex mutex;
  std::vector<hub::AccessRecord> seen;
  {
    hub::ServeOptions options;
    options.access_log = [&](const hub::AccessRecord& record) {
      std::scoped_lock lock(mutex);
      seen.push_back(record);
    };
    Served hub(std::move(options));
    // On one connection, so that the order is certain: an answer may arrive before it is logged.
    RawConnection connection(hub.port);
    connection.send("GET " + kFiles + "v1/README.md?download=1 HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(connection.receive().status == 200);
    connection.send("PUT " + kApi + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(connection.receive().status == 405);
    CHECK(connection.closed_within(std::chrono::seconds(5)));
  }
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].target == kFiles + "v1/README.md?download=1");
  CHECK(seen[0].status == 200);
  CHECK(seen[0].bytes == 2);
  CHECK(seen[1].method == "PUT");
  CHECK(seen[1].status == 405);
}
