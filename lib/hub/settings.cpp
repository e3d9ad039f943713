#include "kernels/hub/settings.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "kernels/base/file.h"
#include "kernels/hub/url.h"

namespace kernels::hub {

namespace fs = std::filesystem;

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

bool is_true(const std::string& text) {
  std::string upper = text;
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE";
}

namespace {

/// The variables, with "set but empty" taken as "not set".
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  std::optional<std::string> text(const char* name) const {
    auto value = environment_(name);
    if (value && value->empty()) return std::nullopt;
    return value;
  }
  bool flag(const char* name) const { return is_true(text(name).value_or("")); }

  /// `~` and `$NAME` replaced, once.
  fs::path path(const std::string& raw) const {
    std::string out = raw;
    if (out == "~" || out.starts_with("~/")) out = text("HOME").value_or("~") + out.substr(1);
    std::string expanded;
    for (std::size_t i = 0; i < out.size();) {
      std::size_t end = i + 1;
      while (out[i] == '$' && end < out.size() &&
             (std::isalnum(static_cast<unsigned char>(out[end])) != 0 || out[end] == '_'))
        ++end;
      auto value = end > i + 1 ? text(out.substr(i + 1, end - i - 1).c_str()) : std::nullopt;
      expanded += value ? *value : out.substr(i, end - i);
      i = end;
    }
    return expanded;
  }

  Result<int> number(const char* name, int fallback) const {
    auto raw = text(name);
    if (!raw) return fallback;
    int value = 0;
    auto [end, code] = std::from_chars(raw->data(), raw->data() + raw->size(), value);
    if (code != std::errc() || end != raw->data() + raw->size() || value < 0)
      return fail(Error(Errc::invalid_argument, "`" + *raw + "` is not a number")
                      .while_doing(std::string("reading the environment variable ") + name));
    return value;
  }

 private:
  const Environment& environment_;
};

std::string clean_token(std::string text) {
  std::erase_if(text, [](char c) { return c == '\r' || c == '\n'; });
  auto begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

void find_token(const Reader& reader, const fs::path& home, Settings& settings) {
  if (reader.flag("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return;
  const char* name = reader.text("HF_TOKEN") ? "HF_TOKEN" : "HUGGING_FACE_HUB_TOKEN";
  auto token = clean_token(reader.text(name).value_or(""));
  settings.token_source = name;
  if (token.empty()) {
    auto configured = reader.text("HF_TOKEN_PATH");
    auto file = configured ? reader.path(*configured) : home / "token";
    token = clean_token(read_file(file, 1 << 16).value_or(""));
    settings.token_source = file.string();
  }
  if (token.empty()) settings.token_source.clear();
  settings.token = Secret(std::move(token));
}

Status find_endpoint(const Reader& reader, Settings& settings) {
  if (reader.flag("KERNELS_ALLOW_HTTP")) settings.plain_http = PlainHttp::allowed;
  if (reader.flag("HUGGINGFACE_CO_STAGING")) {
    settings.endpoint = "https://hub-ci.huggingface.co";
    settings.endpoint_source = "HUGGINGFACE_CO_STAGING";
  }
  if (auto raw = reader.text("HF_ENDPOINT")) {
    settings.endpoint = *raw;
    settings.endpoint_source = "HF_ENDPOINT";
  }
  while (settings.endpoint.ends_with('/'))
    settings.endpoint.pop_back();
  auto origin = origin_of(settings.endpoint);
  auto usable = origin ? check_encryption(*origin, settings.plain_http) : fail(std::move(origin).error());
  if (!usable)
    return fail(std::move(usable).error().while_doing("reading the environment variable HF_ENDPOINT"));
  return {};
}

Result<fs::path> hf_home(const Reader& reader) {
  if (auto home = reader.text("HF_HOME")) return reader.path(*home);
  if (auto cache = reader.text("XDG_CACHE_HOME")) return reader.path(*cache) / "huggingface";
  if (!reader.text("HOME"))
    return fail(Error(Errc::invalid_argument, "there is no home folder to keep the cache in")
                    .with_hint("set `HOME`, or choose a folder with `HF_HUB_CACHE`"));
  return reader.path("~/.cache/huggingface");
}

Status find_cache(const Reader& reader, Settings& settings) {
  auto home = hf_home(reader);
  for (const char* name : {"KERNELS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    auto raw = reader.text(name);
    if (!raw || !settings.cache.empty()) continue;
    settings.cache = reader.path(*raw);
    settings.cache_source = name;
  }
  if (!home && settings.cache.empty()) return fail(std::move(home).error());
  if (settings.cache.empty()) {
    settings.cache = *home / "hub";
    settings.cache_source = reader.text("HF_HOME")          ? "HF_HOME"
                            : reader.text("XDG_CACHE_HOME") ? "XDG_CACHE_HOME"
                                                            : "HOME";
  }
  find_token(reader, home.value_or(fs::path()), settings);
  if (auto state = reader.text("XDG_STATE_HOME"))
    settings.state = reader.path(*state) / "kernels";
  else if (reader.text("HOME"))
    settings.state = reader.path("~/.local/state/kernels");
  return {};
}

}  // namespace

Result<Settings> read_settings(const Environment& environment) {
  Reader reader(environment);
  Settings settings;
  if (auto status = find_endpoint(reader, settings); !status) return fail(std::move(status).error());
  if (auto status = find_cache(reader, settings); !status) return fail(std::move(status).error());
  const char* switch_name = reader.text("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE";
  settings.offline = reader.flag(switch_name);
  if (settings.offline) settings.offline_source = switch_name;
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
    if (!settings.ca_file.empty()) break;
    settings.ca_file = reader.text(name).value_or("");
    if (!settings.ca_file.empty()) settings.ca_source = name;
  }
  settings.use_symlinks = !reader.flag("HF_HUB_DISABLE_SYMLINKS");
  settings.telemetry = !reader.flag("HF_HUB_DISABLE_TELEMETRY") && !reader.flag("DISABLE_TELEMETRY") &&
                       !reader.flag("DO_NOT_TRACK");
  auto connect = reader.number("HF_HUB_ETAG_TIMEOUT", 0);
  auto stall = reader.number("HF_HUB_DOWNLOAD_TIMEOUT", 0);
  auto retries = reader.number("KERNELS_HTTP_RETRIES", settings.max_retries);
  for (auto* number : {&connect, &stall, &retries})
    if (!*number) return fail(std::move(*number).error());
  if (*connect > 0) settings.connect_timeout = std::chrono::seconds(*connect);
  if (*stall > 0) settings.stall_timeout = std::chrono::seconds(*stall);
  settings.max_retries = *retries;
  return settings;
}

}  // namespace kernels::hub
