// Where a token must not be: everywhere but in one header to one server.

#include <csignal>
#include <thread>

#include "support/tls_front.h"
#include "victim.h"

using namespace kernels::test;

namespace {

const std::string kCanary = "hf_canary0123456789";

std::string file_of_process(int process, const char* name) {
  return content_of("/proc/" + std::to_string(process) + "/" + name);
}

/// Waits until the server is silent in the middle of a file.
void wait_for_request(const Victim& victim) {
  for (int i = 0; i < 500 && victim.hub->count("GET", "\\.so") == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace

TEST_CASE("token: it is in no argument, file, address or message", "[attacks]") {
  Victim victim({.token = kernels::Secret(kCanary)}, 2000, kCanary);
  put(victim.temp / "token", kCanary + "\n");
  for (const auto& environment :
       {std::map<std::string, std::string>{{"HF_TOKEN", kCanary}},
        std::map<std::string, std::string>{{"HF_TOKEN_PATH", victim.temp / "token"}}})
    for (const char* command : {"lock", "download", "check", "doctor"}) {
      auto run = victim.kernels({"-vv", command}, {.environment = environment});
      INFO(run.err);
      CHECK_FALSE(has(run.out + run.err, "canary"));
    }
  for (const auto& folder : {victim.folder(), victim.cache()})
    for (const auto& file : World::files_below(folder)) {
      CAPTURE(file);
      CHECK_FALSE(has(content_of(folder / file), kCanary));
    }
  for (const auto& request : victim.hub->seen()) {
    CHECK_FALSE(has(request.target, "canary"));
    for (const auto& [name, value] : request.headers)
      if (name != "authorization") CHECK_FALSE(has(value, "canary"));
  }
}

TEST_CASE("token: while it is used, neither the command line nor a core dump shows it", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::stalled()});
  auto crash = [&](const std::map<std::string, std::string>& environment) {
    victim.hub->forget_seen();
    std::string line;
    RunOptions options{.environment = environment, .allow_core = true, .meanwhile = [&](int process) {
                         wait_for_request(victim);
                         line = file_of_process(process, "cmdline");
                         ::kill(process, SIGQUIT);
                       }};
    auto run = victim.kernels({"download"}, options);
    CHECK(run.status == 128 + SIGQUIT);
    CHECK(has(line, "download"));
    CHECK_FALSE(has(line, "canary"));
    return run.dumped_core;
  };
  put(victim.temp / "token", kCanary + "\n");
  CHECK_FALSE(crash({{"HF_TOKEN", kCanary}}));
  CHECK_FALSE(crash({{"HF_TOKEN_PATH", victim.temp / "token"}}));
  // Without a token a core dump may be written, where the system writes any at all.
  if (!crash({})) WARN("this system writes no core dumps: that none was written shows little");
}

TEST_CASE("token: a server that repeats it does not bring it into a message", "[attacks]") {
  Victim victim;
  auto lies = GENERATE(as<Lie>{}, lie::status(403, {}, "{\"error\":\"token hf_canary0123456789 is bad\"}"),
                       lie::status(500, {{"X-Error-Message", "no hf_canary0123456789"}}),
                       lie::status(401, {{"X-Error-Message", "Invalid hf_canary0123456789"}}));
  victim.hub->add({.path_pattern = "\\.so", .lie = lies});
  auto run = victim.kernels({"-vv", "download"},
                            {.environment = {{"HF_TOKEN", kCanary}, {"KERNELS_HTTP_RETRIES", "0"}}});
  INFO(run.err);
  CHECK(run.status == 3);
  CHECK_FALSE(has(run.out + run.err, "canary"));
}

TEST_CASE("token: any change of scheme, host or port leaves it behind", "[attacks]") {
  Victim victim;
  FaultyHub other_port(victim.server->port());
  TlsFront other_scheme(other_port.port());
  put(victim.temp / "authority.pem", other_scheme.authority());
  int change = GENERATE(0, 1, 2);
  auto to = change == 0   ? other_port.url()
            : change == 1 ? other_scheme.url()
                          : "http://localhost:" + std::to_string(other_port.port());
  CAPTURE(to);
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(307, to + "{target}")});
  auto run = victim.download({{"HF_TOKEN", kCanary}, {"SSL_CERT_FILE", victim.temp / "authority.pem"}});
  INFO(run.err);
  CHECK(run.status == 0);
  REQUIRE(other_port.seen().size() == 1);
  CHECK(other_port.seen()[0].header("authorization").empty());
  check_cache_is_valid(victim);
}

TEST_CASE("token: neither the worker nor the server that is started gets it", "[attacks]") {
  Victim victim;
  int server = 0;
  RunOptions options{.environment = {{"HF_TOKEN", kCanary}, {"HUGGING_FACE_HUB_TOKEN", kCanary}},
                     .signal_after = std::chrono::milliseconds(300),
                     .meanwhile = [&](int process) {
                       auto port = victim.temp / "port";
                       for (int i = 0; i < 300 && !std::filesystem::exists(port); ++i)
                         std::this_thread::sleep_for(std::chrono::milliseconds(10));
                       server = process;
                       CHECK(has(file_of_process(process, "cmdline"), "serve"));
                       CHECK_FALSE(has(file_of_process(process, "environ"), "canary"));
                     }};
  auto run = victim.kernels(
      {"serve", (victim.temp / "publisher").string(), "--port", "0", "--port-file", victim.temp / "port"},
      options);
  INFO(run.err);
  CHECK(server != 0);
}
