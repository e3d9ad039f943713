#include "kernels/hub/settings.h"

#include <map>

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::hub;
using kernels::test::contains;
using kernels::test::put;
using kernels::test::TempFolder;

namespace {

using Variables = std::map<std::string, std::string>;

Result<Settings> read(Variables variables) {
  variables.emplace("HOME", "/home/none");
  return read_settings([&](const char* name) -> std::optional<std::string> {
    auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

}  // namespace

TEST_CASE("settings: where the cache is", "[hub]") {
  struct Row {
    const char* name;
    Variables variables;
    const char* cache;
  };
  const std::vector<Row> rows = {
      {"default", {}, "/home/none/.cache/huggingface/hub"},
      {"XDG_CACHE_HOME", {{"XDG_CACHE_HOME", "/x/cache"}}, "/x/cache/huggingface/hub"},
      {"HF_HOME with a tilde",
       {{"XDG_CACHE_HOME", "/x/cache"}, {"HF_HOME", "~/hfhome"}},
       "/home/none/hfhome/hub"},
      {"HF_HOME with a variable", {{"HF_HOME", "$BASE/hf"}, {"BASE", "/b"}}, "/b/hf/hub"},
      {"a variable that is not set stays", {{"HF_HOME", "/a/$NONE/b"}}, "/a/$NONE/b/hub"},
      {"a lone dollar stays", {{"HF_HOME", "/a$/$"}}, "/a$/$/hub"},
      {"expanded once", {{"HF_HOME", "$A"}, {"A", "$B"}, {"B", "/b"}}, "$B/hub"},
      {"HF_HUB_CACHE before its old name",
       {{"HUGGINGFACE_HUB_CACHE", "/legacy"}, {"HF_HUB_CACHE", "/new"}},
       "/new"},
      {"the old name", {{"HUGGINGFACE_HUB_CACHE", "/legacy"}}, "/legacy"},
      {"KERNELS_CACHE before all", {{"KERNELS_CACHE", "~/k"}, {"HF_HUB_CACHE", "/new"}}, "/home/none/k"},
      {"empty is unset",
       {{"KERNELS_CACHE", ""}, {"HF_HUB_CACHE", ""}, {"HF_HOME", ""}},
       "/home/none/.cache/huggingface/hub"},
      {"another user's home is not ours", {{"HF_HOME", "~other/x"}}, "~other/x/hub"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto settings = read(row.variables);
    REQUIRE(settings);
    CHECK(settings->cache == row.cache);
  }
}

TEST_CASE("settings: without a home folder the cache must be named", "[hub]") {
  auto none = read({{"HOME", ""}});
  REQUIRE_FALSE(none);
  CHECK(none.error().code() == Errc::invalid_argument);
  CHECK_THAT(none.error().hint(), contains("HF_HUB_CACHE"));
  CHECK(read({{"HOME", ""}, {"HF_HUB_CACHE", "/c"}})->cache == "/c");
}

TEST_CASE("settings: which token is sent", "[hub]") {
  TempFolder folder;
  put(folder / "token", "hf_file\n");
  put(folder / "blank", " \r\n");
  auto home = folder.path().string();
  struct Row {
    const char* name;
    Variables variables;
    const char* token;
    const char* source;
  };
  const std::vector<Row> rows = {
      {"cleaned", {{"HF_TOKEN", " hf_tok\n"}}, "hf_tok", "HF_TOKEN"},
      {"the old name",
       {{"HF_TOKEN", ""}, {"HUGGING_FACE_HUB_TOKEN", "hf_legacy"}},
       "hf_legacy",
       "HUGGING_FACE_HUB_TOKEN"},
      {"the new name first", {{"HF_TOKEN", "hf_a"}, {"HUGGING_FACE_HUB_TOKEN", "hf_b"}}, "hf_a", "HF_TOKEN"},
      {"blank, so the file", {{"HF_TOKEN", "  "}, {"HF_HOME", home}}, "hf_file", "token"},
      {"the file", {{"HF_HOME", home}}, "hf_file", "token"},
      {"a file elsewhere", {{"HF_TOKEN_PATH", home + "/token"}}, "hf_file", "token"},
      {"a blank file", {{"HF_TOKEN_PATH", home + "/blank"}}, "", ""},
      {"a missing file", {{"HF_TOKEN_PATH", home + "/none"}}, "", ""},
      {"a folder", {{"HF_TOKEN_PATH", home}}, "", ""},
      {"disabled", {{"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}, {"HF_TOKEN", "x"}}, "", ""},
      {"line breaks inside", {{"HF_TOKEN", "hf_a\r\nX-Evil: 1"}}, "hf_aX-Evil: 1", "HF_TOKEN"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto settings = read(row.variables);
    REQUIRE(settings);
    CHECK(settings->token.reveal() == row.token);
    CHECK_THAT(settings->token_source, Catch::Matchers::EndsWith(row.source));
    CHECK(settings->token.empty() == settings->token_source.empty());
  }
}

TEST_CASE("settings: whether the network may be used", "[hub]") {
  struct Row {
    const char* name;
    Variables variables;
    bool offline;
  };
  const std::vector<Row> rows = {
      {"by default", {}, false},
      {"HF_HUB_OFFLINE", {{"HF_HUB_OFFLINE", "1"}}, true},
      {"in words", {{"HF_HUB_OFFLINE", "yes"}}, true},
      {"in other letters", {{"HF_HUB_OFFLINE", "On"}}, true},
      {"not a yes", {{"HF_HUB_OFFLINE", "2"}}, false},
      {"an explicit no wins", {{"HF_HUB_OFFLINE", "0"}, {"TRANSFORMERS_OFFLINE", "1"}}, false},
      {"empty does not", {{"HF_HUB_OFFLINE", ""}, {"TRANSFORMERS_OFFLINE", "1"}}, true},
      {"the other one alone", {{"TRANSFORMERS_OFFLINE", "true"}}, true},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(read(row.variables)->offline == row.offline);
  }
}

TEST_CASE("settings: the endpoint loses its last slashes and keeps its path", "[hub]") {
  CHECK(read({})->endpoint == "https://huggingface.co");
  CHECK(read({{"HF_ENDPOINT", "https://mirror.example/hf/"}})->endpoint == "https://mirror.example/hf");
  CHECK(read({{"HF_ENDPOINT", ""}})->endpoint == "https://huggingface.co");
  CHECK(read({{"HUGGINGFACE_CO_STAGING", "1"}})->endpoint == "https://hub-ci.huggingface.co");
  CHECK(read({{"HUGGINGFACE_CO_STAGING", "1"}, {"HF_ENDPOINT", "http://127.0.0.1:1"}})->endpoint ==
        "http://127.0.0.1:1");
  for (const char* bad : {"huggingface.co", "ftp://h", "https://user:secret@h", "/", "https://h\nx"}) {
    CAPTURE(bad);
    auto settings = read({{"HF_ENDPOINT", bad}});
    REQUIRE_FALSE(settings);
    CHECK(settings.error().code() == Errc::invalid_argument);
    CHECK_THAT(describe(settings.error()), contains("HF_ENDPOINT"));
    CHECK(describe(settings.error()).find("secret") == std::string::npos);
  }
}

TEST_CASE("settings: timeouts and retries are whole numbers, zero means the default", "[hub]") {
  CHECK(read({{"HF_HUB_ETAG_TIMEOUT", "0"}})->connect_timeout == std::chrono::seconds(10));
  CHECK(read({{"HF_HUB_ETAG_TIMEOUT", "25"}})->connect_timeout == std::chrono::seconds(25));
  CHECK(read({{"HF_HUB_DOWNLOAD_TIMEOUT", "7"}})->stall_timeout == std::chrono::seconds(7));
  CHECK(read({{"HF_HUB_DOWNLOAD_TIMEOUT", "0"}})->stall_timeout == std::chrono::seconds(30));
  CHECK(read({{"KERNELS_HTTP_RETRIES", "0"}})->max_retries == 0);
  CHECK(read({})->max_retries == 5);
  for (const char* name : {"HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "KERNELS_HTTP_RETRIES"})
    for (const char* bad : {"abc", "-1", "1.5", "1s", "99999999999"}) {
      CAPTURE(name, bad);
      auto settings = read({{name, bad}});
      REQUIRE_FALSE(settings);
      CHECK_THAT(describe(settings.error()), contains(name));
    }
}

TEST_CASE("settings: certificates, symlinks and telemetry", "[hub]") {
  CHECK(read({{"SSL_CERT_FILE", "/a"}, {"REQUESTS_CA_BUNDLE", "/b"}, {"CURL_CA_BUNDLE", "/c"}})->ca_file ==
        "/a");
  CHECK(read({{"SSL_CERT_FILE", ""}, {"REQUESTS_CA_BUNDLE", "/b"}, {"CURL_CA_BUNDLE", "/c"}})->ca_file ==
        "/b");
  CHECK(read({{"CURL_CA_BUNDLE", "/c"}})->ca_file == "/c");
  CHECK(read({})->ca_file.empty());
  CHECK(read({})->use_symlinks);
  CHECK_FALSE(read({{"HF_HUB_DISABLE_SYMLINKS", "1"}})->use_symlinks);
  CHECK(read({{"HF_HUB_DISABLE_SYMLINKS", "0"}})->use_symlinks);
  CHECK(read({})->telemetry);
  for (const char* name : {"HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"})
    CHECK_FALSE(read({{name, "true"}})->telemetry);
}
