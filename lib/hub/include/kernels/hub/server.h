#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/secret.h"
#include "kernels/hub/source.h"

namespace kernels::hub {

/// One answered request, for an access log.
struct AccessRecord {
  std::string method;
  std::string target;  ///< as the client sent it
  int status = 0;
  std::uint64_t bytes = 0;  ///< of the body that was announced
};

/// How the content of a file is delivered.
enum class Delivery {
  direct,    ///< 200 with the content
  redirect,  ///< as the Hub does: 302 to an address of another origin (a second port, which wants no token
             ///< and refuses one) for large files, 307 to a cache route for others
};

struct ServeOptions {
  std::string host = "127.0.0.1";  ///< address to listen on; any other than loopback opens it to the network
  int port = 0;                    ///< 0: any free one
  std::optional<Secret> token = {};  ///< required of every client when set
  /// Organisations that clients may trust; `*` means all.
  std::vector<std::string> trusted_publishers = {};
  Delivery large_files = Delivery::direct;
  Delivery small_files = Delivery::direct;
  std::size_t max_threads = 1024;  ///< one thread serves one connection; further ones wait
  /// Called after each answer, by many threads at once.
  std::function<void(const AccessRecord&)> access_log = {};
};

/// A read-only Hub: the routes that this program and the Python packages use, over HTTP.
///
///  1. `GET /api/kernels/{id}`, `…/revision/{rev}`           what the repository is, and the commit
///  2. `GET /api/kernels/{id}/refs[?include_prs=1]`           branches and tags
///  3. `GET /api/kernels/{id}/tree/{rev}[/{path}]`            listing; recursive, expand, limit, cursor
///  4. `POST /api/kernels/{id}/paths-info/{rev}`              entries for given paths, as a form or JSON
///  5. `HEAD|GET /kernels/{id}/resolve/{rev}/{path}`          content, with Range and If-None-Match
///  6. `GET /api/organizations/{org}/overview`                whether the publisher is trusted
///  7. `GET /api/whoami-v2`                                   always 401: there are no accounts here
///
/// A name of a version tag (`v0.0.2`) is listed as a tag, any other one as a branch: the cache does not say.
/// If `main` cannot be served, it stands for the highest version, because clients ask for `main` by default.
/// Never prints and never writes to the source.
class HubServer {
 public:
  /// Listens when it returns. Errors  io: the address cannot be had.
  static Result<std::unique_ptr<HubServer>> start(std::shared_ptr<const RepositorySource> source,
                                                  ServeOptions options);
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;
  ~HubServer();

  int port() const;
  /// `http://host:port`, to be used as HF_ENDPOINT.
  std::string url() const;
  /// Ends all transfers and waits for all threads. May be called twice.
  void stop();

 private:
  struct Impl;
  explicit HubServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kernels::hub
