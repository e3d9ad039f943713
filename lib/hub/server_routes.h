#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/hub/server.h"

#include "server_catalog.h"
#include "server_target.h"

namespace kernels::hub {

/// What the routes need to know of a request, free of any HTTP library.
struct ServerRequest {
  std::string method;
  std::string target;  ///< as sent
  std::string host;
  std::string authorization;
  std::string range;
  std::string if_range;
  std::string if_none_match;
  std::string trace_id;
  std::string content_type;
  std::string body;
};

/// A piece of an open file.
struct FilePart {
  std::shared_ptr<const UniqueFd> fd;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct ServerAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string content_type = "application/json; charset=utf-8";
  std::variant<std::string, FilePart> body = {};
};

/// Where a request arrived: the Hub itself, or the address of another origin that large files come from.
struct ServerPlace {
  enum class Role { hub, cdn };
  Role role = Role::hub;
  std::string origin;  ///< its own `http://host:port`, used if the client sent no usable Host
  int cdn_port = 0;    ///< of the other origin
};

/// Answers requests; knows nothing of sockets. Threads  safe.
class Router {
 public:
  Router(std::shared_ptr<const RepositorySource> source, ServeOptions options);

  ServerAnswer answer(const ServerRequest& request, const ServerPlace& place);

 private:
  struct Context;
  ServerAnswer route(const Context& context);
  ServerAnswer route_api(const Context& context);
  ServerAnswer route_kernel(const Context& context, const RepoId& repo);
  ServerAnswer info(const RepoId& repo, std::string_view revision);
  ServerAnswer refs(const Context& context, const RepoId& repo);
  ServerAnswer tree(const Context& context, const RepoId& repo);
  ServerAnswer paths_info(const Context& context, const RepoId& repo);
  ServerAnswer resolve(const Context& context, const RepoId& repo);
  ServerAnswer redirect(const Context& context, const RepoId& repo, const Commit& commit,
                        const FileEntry& file);
  ServerAnswer resolve_cache(const Context& context, const RepoId& repo);
  ServerAnswer cdn(const Context& context);
  ServerAnswer content(const Context& context, const RepoId& repo, const Commit& commit,
                       const FileEntry& file, const std::string& etag);
  ServerAnswer organization(const std::string& name);
  bool is_trusted(std::string_view publisher) const;
  bool is_authorized(const ServerRequest& request) const;
  std::string sign(std::string_view text) const;

  Catalog catalog_;
  ServeOptions options_;
  std::string signing_key_;
  std::atomic<std::uint64_t> next_request_{0};
};

}  // namespace kernels::hub
