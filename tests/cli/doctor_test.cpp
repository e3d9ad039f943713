// `kernels doctor` on this machine: against a real server behind a liar, with a made-up driver, on caches of
// every kind.

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "kernels/base/hash.h"
#include "kernels/bundle/sandbox.h"
#include "kernels/verify/trusted_root.h"

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace fs = std::filesystem;

namespace {

std::string target_of(const Outcome& run) {
  return json::parse(run.out)["target"]["description"];
}

json route(const json& report, const std::string& name) {
  for (const auto& item : report["routes"])
    if (item["name"] == name) return item;
  return nullptr;
}

json fact(const json& report, const std::string& name) {
  for (const auto& item : report["facts"])
    if (item["name"] == name) return item;
  return nullptr;
}

/// The Hub as it is: large files come from another origin.
kernels::hub::ServeOptions like_the_hub() {
  kernels::hub::ServeOptions options;
  options.large_files = kernels::hub::Delivery::redirect;
  return options;
}

struct HubWorld : World {
  HubWorld() : World(like_the_hub()) {
    publish({.repo = "acme/relu",
             .version = 1,
             .variants = {{"tvm-ffi01-cpu-x86_64-linux",
                           {{"__init__.py", "x\n"}, {"_relu.so", std::string(64 << 10, '\x7f')}}}},
             .root_files = {{"README.md", "# relu\n"}}});
  }
  Outcome doctor(std::vector<std::string> more = {}, std::map<std::string, std::string> environment = {}) {
    more.insert(more.begin(), {"doctor", "--json", "--repo", "acme/relu"});
    return kernels(more, {.environment = std::move(environment)});
  }
};

}  // namespace

TEST_CASE("doctor: all is well with a Hub that answers and a cache that can be written", "[cli]") {
  HubWorld world;
  auto run = world.doctor();
  INFO(run.out << run.err);
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["schema"] == "kernels.doctor/1");
  CHECK(report["good"] == true);
  CHECK(fact(report, "os")["certainty"] == "asked");
  CHECK(fact(report, "glibc")["source"] == "gnu_get_libc_version");
  for (const char* name : {"repository", "file", "organisation", "listing", "stored file"}) {
    CAPTURE(name);
    CHECK(route(report, name)["result"] == "ok");
    CHECK(route(report, name)["milliseconds"].is_number());
    CHECK_FALSE(route(report, name)["status"].is_null());
  }
  CHECK(route(report, "whoami").is_null());  // there is no token
  CHECK(route(report, "stored file")["redirected"] == true);
  CHECK(route(report, "stored file")["status"] == 206);
  CHECK(report["cache"]["writable"] == true);
  for (const char* works : {"locks", "symlinks", "hard_links", "renames"})
    CHECK(report["cache"][works] == true);
  CHECK(report["cache"]["free_bytes"].is_number());
  CHECK_FALSE(report["cache"]["file_system"].is_null());
  // Trying leaves nothing behind.
  CHECK(report["cache"]["exists"] == false);
  CHECK_FALSE(fs::exists(world.cache()));
  // Each route is asked once, and of the stored file one byte.
  CHECK(world.hub->count("GET", "/refs$") == 1);
  CHECK(world.hub->count("GET", "_relu\\.so$") == 1);
}

TEST_CASE("doctor: the text has every section and a line to paste", "[cli]") {
  HubWorld world;
  auto run = world.kernels({"doctor", "--repo", "acme/relu"});
  for (const char* part :
       {"Machine\n", "GPUs\n", "Python and frameworks\n", "Hub\n", "Cache\n", "Trust\n", "Problems\n",
        "route `repository`", "To describe this machine elsewhere:\n  --target os=linux,"}) {
    CAPTURE(part);
    CHECK(has(run.out, part));
  }
  CHECK(has(run.out, "--target " + target_of(world.doctor()) + "\n"));
}

TEST_CASE("doctor: whom the program believes, and what holds the reader of bundles back", "[cli]") {
  HubWorld world;
  auto trust = json::parse(world.doctor().out)["trust"];
  CHECK(trust["signatures"] == "warn");
  CHECK(trust["signatures_source"] == "default");
  CHECK(trust["trusted_root"]["sha256"] == kernels::sha256_hex(kernels::verify::embedded_trusted_root()));
  // The same as for a real bundle: tests/bundle shows what either means.
  auto here = kernels::bundle::try_confinement();
  CHECK(trust["confinement"] == json{{"landlock", here.landlock}, {"seccomp", here.seccomp}});
  auto wrong =
      world.kernels({"doctor", "--offline", "--json"}, {.environment = {{"KERNELS_SIGNATURES", "maybe"}}});
  CHECK(wrong.status == 1);
  auto report = json::parse(wrong.out);
  CHECK(report["trust"]["signatures"].is_null());
  CHECK(has(report["problems"].dump(), "none of `off`, `warn` and `require`"));
  auto required =
      world.kernels({"doctor", "--offline"}, {.environment = {{"KERNELS_SIGNATURES", "require"}}});
  CHECK(has(required.out, "require"));
  CHECK(has(required.out, std::string(kernels::verify::kEmbeddedRootSha256)));
}

TEST_CASE("doctor: each route fails alone, with its own reason", "[cli]") {
  struct Row {
    const char* path;
    Lie lie;
    const char* name;
    const char* result;
    json status;
    json failure;
    int exit_status;
  };
  const std::vector<Row> rows = {
      {"/refs$", lie::status(500), "repository", "refused", 500, nullptr, 1},
      {"/refs$", lie::json_garbage("<html>log in</html>"), "repository", "failed", 200, "answer", 1},
      {"/refs$", lie::stalled(), "repository", "failed", nullptr, "timeout", 1},
      {"README", lie::status(503), "file", "refused", 503, nullptr, 1},
      {"README", lie::redirect(302, "http://127.0.0.1:1/x"), "file", "failed", nullptr, "connect", 1},
      {"README", lie::redirect(302, "https://no.such.host.invalid/x"), "file", "failed", nullptr, "dns", 1},
      {"/overview$", lie::status(429), "organisation", "refused", 429, nullptr, 1},
      {"/overview$", lie::status(404), "organisation", "ok", 404, nullptr, 0},  // a user, or nobody
      {"/tree/", lie::status(403), "listing", "refused", 403, nullptr, 1},
      {"/tree/", lie::json_garbage(), "listing", "failed", 200, "answer", 1},
      {"_relu", lie::redirect(302, "http://127.0.0.1:1/x"), "stored file", "failed", nullptr, "connect", 1},
      {"_relu", lie::redirect_loop(), "stored file", "failed", nullptr, "answer", 1},
  };
  HubWorld world;
  for (const auto& row : rows) {
    INFO(row.path << " " << row.result << " " << row.status.dump());
    world.hub->clear_faults();
    world.hub->add({.path_pattern = row.path, .lie = row.lie});
    auto run = world.doctor({}, {{"HF_HUB_DOWNLOAD_TIMEOUT", "1"}});
    INFO(run.out << run.err);
    CHECK(run.status == row.exit_status);
    auto report = json::parse(run.out);
    auto failed = route(report, row.name);
    CHECK(failed["result"] == row.result);
    CHECK(failed["status"] == row.status);
    CHECK(failed["failure"] == row.failure);
    CHECK(report["good"] == (row.exit_status == 0));
    if (row.exit_status != 0) {
      CHECK_FALSE(failed["detail"].is_null());
      CHECK(report["problems"].size() == 1);
      CHECK_FALSE(report["problems"][0]["fix"].get<std::string>().empty());
    }
    // The others that need nothing of it are as well as before.
    for (const char* other : {"repository", "file", "organisation"})
      if (std::string(other) != row.name) CHECK(route(report, other)["result"] == "ok");
  }
}

TEST_CASE("doctor: a Hub that is not there is one problem, however many routes lead to it", "[cli]") {
  HubWorld world;
  auto run = world.doctor({}, {{"HF_ENDPOINT", "http://127.0.0.1:1"}});
  CHECK(run.status == 1);
  auto report = json::parse(run.out);
  REQUIRE(report["problems"].size() == 1);
  CHECK(report["problems"][0]["severity"] == "problem");
  CHECK(has(report["problems"][0]["what"], "`127.0.0.1:1` does not take connections"));
  CHECK(route(report, "repository")["failure"] == "connect");
  CHECK(route(report, "listing")["result"] == "not tried");
  // A proxy that is not there is no better.
  auto proxy = world.doctor({}, {{"HF_ENDPOINT", "http://hub.invalid"},
                                 {"KERNELS_ALLOW_HTTP", "1"},
                                 {"http_proxy", "http://nowhere.invalid:1"}});
  CHECK(proxy.status == 1);
  CHECK(route(json::parse(proxy.out), "file")["failure"] == "proxy");
  // Nor is a server that speaks no TLS.
  auto tls = world.doctor({}, {{"HF_ENDPOINT", "https://127.0.0.1:" + std::to_string(world.server->port())}});
  CHECK(tls.status == 1);
  CHECK(route(json::parse(tls.out), "file")["failure"] == "tls");
}

TEST_CASE("doctor: offline nothing is asked", "[cli]") {
  HubWorld world;
  for (const auto& offline : {world.doctor({"--offline"}), world.doctor({}, {{"HF_HUB_OFFLINE", "1"}})}) {
    CHECK(offline.status == 0);
    auto report = json::parse(offline.out);
    CHECK(report["routes"].empty());
    CHECK(report["cache"]["writable"] == true);
  }
  CHECK(world.hub->seen().empty());
}

TEST_CASE("doctor: a repository that the Hub does not have matters only to who asked for it", "[cli]") {
  World world;
  auto usual = world.kernels({"doctor", "--json"});
  INFO(usual.out << usual.err);
  CHECK(usual.status == 0);
  auto report = json::parse(usual.out);
  CHECK(route(report, "repository")["status"] == 404);
  REQUIRE_FALSE(report["problems"].empty());
  CHECK(report["problems"][0]["severity"] == "note");
  CHECK(world.kernels({"doctor", "--repo", "acme/none"}).status == 1);
  CHECK(world.kernels({"doctor", "--repo", "a/b/c"}).status == 2);
}

TEST_CASE("doctor: secrets are not shown", "[cli]") {
  HubWorld world;
  auto run = world.doctor({}, {{"HF_TOKEN", "hf_verysecret"},
                               {"https_proxy", "http://ada:password@127.0.0.1:1"},
                               {"no_proxy", "127.0.0.1"},
                               {"ALL_PROXY", "ada:password@127.0.0.1:1"}});
  INFO(run.out);
  CHECK_FALSE(has(run.out, "verysecret"));
  CHECK_FALSE(has(run.out, "password"));
  CHECK(has(run.out, "http://127.0.0.1:1"));
  auto report = json::parse(run.out);
  auto token = std::ranges::find_if(report["hub"], [](const auto& item) { return item["name"] == "token"; });
  REQUIRE(token != report["hub"].end());
  CHECK(*token ==
        json{{"name", "token"}, {"value", "present"}, {"source", "HF_TOKEN"}, {"certainty", "read"}});
  // The server of these tests has no accounts: that alone is no problem.
  CHECK(route(report, "whoami")["status"] == 401);
  CHECK(run.status == 0);
}

TEST_CASE("doctor: where each setting is from", "[cli]") {
  HubWorld world;
  auto settings = [](const Outcome& run) {
    std::map<std::string, std::string> out;
    auto report = json::parse(run.out);
    for (const auto& item : report["hub"])
      out[item["name"]] = item["source"];
    out["cache"] = report["cache"]["source"];
    return out;
  };
  auto usual = settings(world.doctor({"--offline"}));
  CHECK(usual["endpoint"] == "HF_ENDPOINT");
  CHECK(usual["cache"] == "HF_HUB_CACHE");
  CHECK(usual["offline"] == "--offline");
  CHECK(usual["token"] == "none found");
  auto flags = settings(world.kernels({"--endpoint", world.hub->url(), "--cache", "here", "doctor", "--json"},
                                      {.environment = {{"TRANSFORMERS_OFFLINE", "1"}}}));
  CHECK(flags["endpoint"] == "--endpoint");
  CHECK(flags["cache"] == "--cache");
  CHECK(flags["offline"] == "TRANSFORMERS_OFFLINE");
}

TEST_CASE("doctor: settings that cannot be meant and certificates that are not there are problems", "[cli]") {
  HubWorld world;
  auto endpoint = world.doctor({}, {{"HF_ENDPOINT", "ftp://x"}});
  CHECK(endpoint.status == 1);
  CHECK(has(json::parse(endpoint.out)["problems"][0]["what"], "HF_ENDPOINT"));
  auto file = world.doctor({"--offline"}, {{"SSL_CERT_FILE", "/none.pem"}});
  CHECK(file.status == 1);
  CHECK(has(json::parse(file.out)["problems"][0]["what"], "/none.pem"));
}

TEST_CASE("doctor: a cache that cannot be written is a problem, and stays as it is", "[cli]") {
  HubWorld world;
  put(world.temp / "file", "x");
  auto below_a_file = world.doctor({"--offline", "--cache", (world.temp / "file/cache").string()});
  CHECK(below_a_file.status == 1);
  auto report = json::parse(below_a_file.out);
  CHECK(report["cache"]["writable"] == false);
  CHECK(report["cache"]["locks"].is_null());
  CHECK(has(report["problems"][0]["fix"], "HF_HUB_CACHE"));
  // /proc is read-only even for root.
  auto proc = world.doctor({"--offline", "--cache", "/proc/sys/cache"});
  CHECK(proc.status == 1);
  CHECK(json::parse(proc.out)["cache"]["writable"] == false);
  // A cache with content keeps it.
  put(world.cache() / "kernels--a--b/refs/main", "x");
  CHECK(world.doctor({"--offline"}).status == 0);
  CHECK(World::files_below(world.cache()) == std::vector<std::string>{"kernels--a--b/refs/main"});
}

// --- the driver ---

static std::map<std::string, std::string> with_driver(std::map<std::string, std::string> more) {
  more.emplace("LD_LIBRARY_PATH", KERNELS_TEST_FAKE_DRIVER);
  more.emplace("PATH", "/nowhere");
  return more;
}

TEST_CASE("doctor: the GPUs of a machine are those that the driver shows", "[cli]") {
  HubWorld world;
  auto run = world.doctor(
      {"--offline"}, with_driver({{"KERNELS_TEST_GPUS",
                                   "9.0,NVIDIA H100 80GB HBM3,0000:1B:00.0,80;8.9,NVIDIA L4,0000:43:00.0,24;"
                                   "9.0,NVIDIA H100 80GB HBM3 MIG 1g.10gb,0000:52:00.0,10"},
                                  {"KERNELS_TEST_NVML_GPUS",
                                   "9.0,one,0000:1B:00.0,80;8.9,two,0000:43:00.0,24;9.0,divided,"
                                   "0000:52:00.0,80"}}));
  INFO(run.out << run.err);
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  REQUIRE(report["gpus"].size() == 3);
  CHECK(report["gpus"][0] == json{{"index", 0},
                                  {"vendor", "nvidia"},
                                  {"name", "NVIDIA H100 80GB HBM3"},
                                  {"arch", nullptr},
                                  {"capability", "9.0"},
                                  {"memory_bytes", 80ULL << 30U},
                                  {"uuid", "GPU-64646464-6464-6464-6464-646464646464"},
                                  {"mig", false},
                                  {"ecc", true},
                                  {"pci", "0000:1b:00.0"}});
  CHECK(report["gpus"][2]["mig"] == true);
  CHECK(has(report["gpus"][2]["uuid"], "MIG-"));
  CHECK(fact(report, "capability of GPU 1")["certainty"] == "asked");
  CHECK(fact(report, "driver")["source"] == "nvmlSystemGetDriverVersion");
  CHECK(report["target"]["capabilities"] == json{"9.0", "8.9"});
  CHECK(report["target"]["driver"] == "580.65.06");
  CHECK(report["target"]["backend"] == "cuda");
  CHECK(report["target"]["backend_version"] == "13.0");
}

TEST_CASE("doctor: a driver that does not start, or shows nothing of what there is, is a problem", "[cli]") {
  HubWorld world;
  auto broken = world.doctor({"--offline"}, with_driver({{"KERNELS_TEST_CUINIT", "803"}}));
  CHECK(broken.status == 1);
  CHECK(has(json::parse(broken.out)["problems"][0]["what"], "803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"));
  auto hidden = world.doctor({"--offline"},
                             with_driver({{"KERNELS_TEST_NVML_GPUS", "9.0,NVIDIA H100,0000:1b:00.0,80"}}));
  CHECK(hidden.status == 1);
  auto report = json::parse(hidden.out);
  CHECK(has(report["problems"][0]["what"], "shows none of them"));
  CHECK(report["gpus"].size() == 1);
  CHECK(report["target"]["capabilities"].empty());
  auto divided =
      world.doctor({"--offline"}, with_driver({{"KERNELS_TEST_NVML_GPUS", "9.0,divided,0000:1b:00.0,80"}}));
  CHECK(has(json::parse(divided.out)["problems"][0]["fix"], "MIG is on"));
  // A driver without a GPU, as on a machine whose GPU was taken out, is no problem.
  CHECK(world.doctor({"--offline"}, with_driver({})).status == 0);
}

TEST_CASE("doctor: a driver that is too old for torch is a problem, a little too old is a note", "[cli]") {
  HubWorld world;
  put(world.temp / "venv/lib/python3.12/site-packages/torch/version.py",
      "__version__ = '2.11.0+cu130'\ncuda = '13.0'\n");
  auto with = [&](const char* cuda) {
    return world.doctor({"--offline"}, with_driver({{"KERNELS_TEST_GPUS", "9.0,NVIDIA H100,0000:1b:00.0,80"},
                                                    {"KERNELS_TEST_CUDA", cuda},
                                                    {"VIRTUAL_ENV", (world.temp / "venv").string()}}));
  };
  CHECK(with("13000").status == 0);
  CHECK(json::parse(with("13000").out)["problems"].empty());
  auto old = with("12080");
  CHECK(old.status == 1);
  CHECK(has(json::parse(old.out)["problems"][0]["what"], "torch is built for CUDA 13.0"));
  put(world.temp / "venv/lib/python3.12/site-packages/torch/version.py",
      "__version__ = '2.11.0+cu132'\ncuda = '13.2'\n");
  auto little = with("13000");
  CHECK(little.status == 0);
  CHECK(json::parse(little.out)["problems"][0]["severity"] == "note");
}
