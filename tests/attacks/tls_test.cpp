// Certificates, encryption that is dropped, proxies.

#include <thread>

#include "support/tls_front.h"
#include "victim.h"

using namespace kernels::test;

namespace {

/// The Hub behind TLS, and the variable that makes its authority known.
struct Encrypted {
  Encrypted(Victim& victim, const TlsFaults& faults = {})
      : front(victim.hub->port(), faults), victim_(victim) {
    put(victim.temp / "authority.pem", front.authority());
  }
  Outcome download(std::map<std::string, std::string> environment = {},
                   const char* variable = "SSL_CERT_FILE") {
    environment.try_emplace("HF_ENDPOINT", front.url());
    environment.try_emplace(variable, (victim_.temp / "authority.pem").string());
    return victim_.download(std::move(environment));
  }
  TlsFront front;

 private:
  Victim& victim_;
};

}  // namespace

TEST_CASE("attack 12: a redirect from https to http is refused", "[attacks]") {
  Victim victim;
  Encrypted hub(victim);
  victim.hub->add(
      {.path_pattern = "\\.so", .times = 1, .lie = lie::redirect(302, victim.hub->url() + "{target}")});
  auto run = hub.download({{"HF_TOKEN", "hf_canary"}});
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "that would leave the encrypted connection"));
  CHECK(victim.hub->count("GET", "\\.so") == 1);
  check_nothing_was_kept(victim);
  CHECK(hub.download().status == 0);
}

TEST_CASE("attack 12: plain http goes to this machine only, unless it is asked for", "[attacks]") {
  Victim victim;
  auto run = victim.download({{"HF_ENDPOINT", "http://mirror.example:8080"}});
  CHECK(run.status == 2);
  CHECK(has(run.err, "`http://mirror.example` would be asked without encryption"));
  CHECK(has(run.err, "KERNELS_ALLOW_HTTP=1"));
  auto flag = victim.kernels({"--endpoint", "http://mirror.example:8080", "download"});
  CHECK(flag.status == 2);
  // A redirect is no way around it.
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::redirect(302, "http://mirror.example/x")});
  auto redirected = victim.download();
  INFO(redirected.err);
  CHECK(redirected.status == 4);
  CHECK(has(redirected.err, "without encryption"));
  // Asked for, it is tried: there is no such host.
  auto asked = victim.download({{"HF_ENDPOINT", "http://mirror.invalid"}, {"KERNELS_ALLOW_HTTP", "1"}});
  CHECK(asked.status == 3);
  CHECK_FALSE(has(asked.err, "encryption"));
}

TEST_CASE("attack 24: what a proxy is told stays with the proxy", "[attacks]") {
  Victim victim;
  Encrypted hub(victim);
  RecordingProxy proxy;
  auto address = "http://ada:hf_proxy_canary@127.0.0.1:" + std::to_string(proxy.port());
  put(victim.temp / "authority.pem", hub.front.authority());
  auto run = victim.kernels({"-vv", "download"},
                            {.environment = {{"HF_ENDPOINT", hub.front.url()},
                                             {"SSL_CERT_FILE", (victim.temp / "authority.pem").string()},
                                             {"https_proxy", address},
                                             {"HF_TOKEN", "hf_canary"},
                                             {"KERNELS_HTTP_RETRIES", "0"}}});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK_FALSE(has(run.err + run.out, "canary"));
  REQUIRE_FALSE(proxy.heads().empty());
  for (const auto& head : proxy.heads()) {
    CHECK(head.starts_with("CONNECT localhost:"));
    CHECK(has(head, "Proxy-Authorization: "));
    CHECK_FALSE(has(head, "\r\nAuthorization: "));
    CHECK_FALSE(has(head, "hf_canary"));
  }
  REQUIRE_FALSE(victim.hub->seen().empty());
  for (const auto& request : victim.hub->seen()) {
    CHECK(request.header("proxy-authorization").empty());
    CHECK(request.header("authorization") == "Bearer hf_canary");
  }
}

TEST_CASE("attack 25: a certificate or a protocol that proves nothing is refused", "[attacks]") {
  struct Row {
    const char* name;
    TlsFaults faults;
  };
  auto row =
      GENERATE(Row{"expired", {.expired = true}}, Row{"for another host", {.host = "huggingface.co"}},
               Row{"signed by itself", {.self_signed = true}}, Row{"signed over SHA-1", {.sha1 = true}},
               Row{"TLS 1.1 at best", {.only_tls_1_1 = true}});
  CAPTURE(row.name);
  Victim victim;
  Encrypted hub(victim, row.faults);
  auto run = hub.download({{"HF_TOKEN", "hf_canary"}});
  INFO(run.err);
  CHECK(run.status == 3);
  CHECK(has(run.err, "localhost"));
  CHECK(victim.hub->seen().empty());  // not a byte went through
  check_nothing_was_kept(victim, Partial::allowed);
}

TEST_CASE("attack 25: an authority is trusted if the user names it, by any of the usual variables",
          "[attacks]") {
  Victim victim;
  Encrypted hub(victim);
  const char* variable = GENERATE("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE");
  CAPTURE(variable);
  auto run = hub.download({}, variable);
  INFO(run.err);
  CHECK(run.status == 0);
  check_cache_is_valid(victim);
  CHECK(victim.download({{"HF_ENDPOINT", hub.front.url()}, {"HF_HUB_CACHE", victim.temp / "empty"}}).status ==
        3);
}
