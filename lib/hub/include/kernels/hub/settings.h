#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "kernels/base/error.h"
#include "kernels/base/secret.h"
#include "kernels/hub/url.h"

namespace kernels::hub {

/// The environment variables as a function, so that tests need not change their own.
using Environment = std::function<std::optional<std::string>(const char* name)>;
Environment process_environment();

/// What the environment says about the Hub, by the rules that the Python packages follow.
struct Settings {
  std::string endpoint = "https://huggingface.co";  ///< `HF_ENDPOINT`, without trailing slash
  std::string endpoint_source = "default";          ///< the variable, or `default`
  PlainHttp plain_http = PlainHttp::loopback_only;  ///< `KERNELS_ALLOW_HTTP`
  Secret token;                                     ///< empty: anonymous
  std::string token_source;                         ///< `HF_TOKEN`, or the file; empty: anonymous
  bool offline = false;                             ///< `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`
  std::string offline_source;                       ///< the variable; empty: not offline
  std::filesystem::path cache;                      ///< `KERNELS_CACHE`, else the shared Hub cache
  std::string cache_source;                         ///< the variable that names it or a folder above it
  /// `XDG_STATE_HOME`/kernels, else `~/.local/state/kernels`; empty without a home folder.
  std::filesystem::path state;
  std::string ca_file;                       ///< `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`
  std::string ca_source;                     ///< which of these; empty: the system's certificates
  bool use_symlinks = true;                  ///< `HF_HUB_DISABLE_SYMLINKS`
  bool telemetry = true;                     ///< extra items in the User-Agent
  std::chrono::seconds connect_timeout{10};  ///< `HF_HUB_ETAG_TIMEOUT`
  std::chrono::seconds stall_timeout{30};    ///< `HF_HUB_DOWNLOAD_TIMEOUT`: no progress for so long
  int max_retries = 5;                       ///< `KERNELS_HTTP_RETRIES`
};

/// "true" is `1`, `ON`, `YES` or `TRUE` in any letter case; anything else is false.
bool is_true(const std::string& text);

/// Errors  invalid_argument: an endpoint that is no http(s) address, or plain http to another machine without
/// `KERNELS_ALLOW_HTTP`, a timeout that is no number, no home
/// folder.
Result<Settings> read_settings(const Environment& environment);

}  // namespace kernels::hub
