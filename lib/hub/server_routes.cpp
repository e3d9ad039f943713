#include "server_routes.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <nlohmann/json.hpp>

#include "kernels/base/hash.h"
#include "kernels/model/git_objects.h"
#include "kernels/model/variant.h"
#include "kernels/model/version.h"

namespace kernels::hub {

using Json = nlohmann::ordered_json;

struct Router::Context {
  const ServerRequest& request;
  const Target& target;
  const ServerPlace& place;

  bool reads() const { return request.method == "GET" || request.method == "HEAD"; }
  std::size_t size() const { return target.segments.size(); }
  const std::string& at(std::size_t i) const { return target.segments[i]; }
};

namespace {

/// A commit made by an import states no time, and one taken from the Hub does not keep it.
constexpr const char* kNoDate = "1970-01-01T00:00:00.000Z";
constexpr std::size_t kPage = 1000;
constexpr std::size_t kExpandedPage = 50;

/// File names are bytes; JSON is UTF-8.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ServerAnswer json_answer(const Json& json) {
  return {.body = dump(json)};
}

ServerAnswer failure(int status, const std::string& code, const std::string& message) {
  ServerAnswer answer{.status = status, .body = dump(Json{{"error", message}})};
  if (!code.empty()) answer.headers.emplace_back("X-Error-Code", code);
  answer.headers.emplace_back("X-Error-Message", message);
  return answer;
}

ServerAnswer no_route() {
  return failure(404, "", "Sorry, there is nothing at this address");
}
ServerAnswer no_repository() {
  return failure(404, "RepoNotFound", "Repository not found");
}
ServerAnswer no_revision() {
  return failure(404, "RevisionNotFound", "Invalid rev id");
}
ServerAnswer server_fault(const Error& error) {
  // The text would name folders of this machine; the client cannot act on it.
  return failure(
      500, "",
      error.code() == Errc::io ? "The server cannot read its cache" : "The server's cache is damaged here");
}
ServerAnswer no_entry(const Commit& commit) {
  auto answer = failure(404, "EntryNotFound", "Entry not found");
  answer.headers.emplace_back("X-Repo-Commit", commit.str());
  return answer;
}
ServerAnswer wrong_method(const std::string& allowed) {
  auto answer = failure(405, "", "This server is read-only");
  answer.headers.emplace_back("Allow", allowed);
  return answer;
}

bool is_true(std::string_view value) {
  return value == "true" || value == "1" || value == "True";
}

/// A tag of the old version scheme (`v0.0.2`); all other names count as branches.
bool is_version_tag(std::string_view name) {
  return name.starts_with('v') && name.find('.') != std::string_view::npos &&
         Pep440Version::parse(name.substr(1));
}

Json ref_json(const std::string& name, const std::string& ref, const Commit& commit) {
  return {{"name", name}, {"ref", ref}, {"targetCommit", commit.str()}};
}

Json node_json(const TreeNode& node, const Commit& commit, bool expand) {
  Json out{{"type", node.is_folder() ? "directory" : "file"},
           {"oid", node.oid},
           {"size", node.is_folder() ? 0 : node.file->size}};
  if (!node.is_folder() && node.file->blob.is_sha256())
    out["lfs"] = {{"oid", node.file->blob.str()},
                  {"size", node.file->size},
                  {"pointerSize", lfs_pointer(node.file->blob, node.file->size).size()}};
  out["path"] = node.path();
  if (!expand) return out;
  out["lastCommit"] = {{"id", commit.str()}, {"title", "Import"}, {"date", kNoDate}};
  if (!node.is_folder()) out["securityFileStatus"] = {{"status", "unscanned"}};
  return out;
}

/// The accelerators that the variants of a commit are for.
std::set<std::string> driver_families(const Tree& tree) {
  std::set<std::string> out;
  auto variants = tree.below("build");
  if (!variants) return out;
  for (const auto& node : *variants) {
    auto name = node.path().substr(std::string_view("build/").size());
    if (!node.is_folder() || name.find('/') != std::string_view::npos) continue;
    auto variant = parse_variant(name);
    if (!variant) continue;
    if (variant->framework != Framework::noarch) out.insert(variant->backend.name());
    if (variant->framework == Framework::noarch && Backend::kind_from_name(variant->noarch_name))
      out.insert(variant->noarch_name);
  }
  return out;
}

/// Text from a client that may stand in an answer's header.
std::string printable(std::string_view text, std::size_t longest) {
  std::string out;
  for (char c : text.substr(0, longest))
    if (c > ' ' && c < 0x7f && c != '<' && c != '>' && c != '"') out += c;
  return out;
}

/// The name under which the client reached this server, which may have several.
std::string host_without_port(std::string_view host_header, std::string_view origin) {
  auto host = printable(host_header, 255);
  if (host.empty()) host = origin.substr(std::string_view("http://").size());
  auto colon = host.rfind(':');
  bool has_port = colon != std::string::npos && host.find(']', colon) == std::string::npos;
  return has_port ? host.substr(0, colon) : host;
}

bool etag_matches(std::string_view header, std::string_view etag) {
  return header == "*" || header.find("\"" + std::string(etag) + "\"") != std::string_view::npos;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  auto left = sha256_hex(a);
  auto right = sha256_hex(b);
  unsigned difference = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    difference |= static_cast<unsigned>(left[i]) ^ static_cast<unsigned>(right[i]);
  return difference == 0;
}

std::vector<std::string> requested_paths(const ServerRequest& request, bool& expand) {
  std::vector<std::string> out;
  if (request.content_type.starts_with("application/json")) {
    auto json = nlohmann::json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return out;
    expand = json.contains("expand") && json["expand"] == true;
    for (const auto& path : json.value("paths", nlohmann::json::array()))
      if (path.is_string()) out.push_back(path.get<std::string>());
    return out;
  }
  for (auto& [key, value] :
       parse_form(request.body).value_or(std::vector<std::pair<std::string, std::string>>{})) {
    if (key == "paths") out.push_back(value);
    if (key == "expand") expand = is_true(value);
  }
  return out;
}

}  // namespace

Router::Router(std::shared_ptr<const RepositorySource> source, ServeOptions options)
    : catalog_(std::move(source)), options_(std::move(options)) {
  for (int i = 0; i < 8; ++i)
    signing_key_ += random_suffix();
}

std::string Router::sign(std::string_view text) const {
  return sha256_hex(signing_key_ + sha256_hex(signing_key_ + std::string(text)));
}

bool Router::is_authorized(const ServerRequest& request) const {
  return !options_.token ||
         equal_in_constant_time(request.authorization, "Bearer " + options_.token->reveal());
}

bool Router::is_trusted(std::string_view publisher) const {
  return std::ranges::any_of(options_.trusted_publishers,
                             [&](const std::string& name) { return name == "*" || name == publisher; });
}

ServerAnswer Router::answer(const ServerRequest& request, const ServerPlace& place) {
  auto target = parse_target(request.target);
  auto answer = target ? route({.request = request, .target = *target, .place = place})
                       : failure(400, "", "The address cannot be read");
  auto number = std::to_string(next_request_++);
  answer.headers.emplace_back(
      "X-Request-Id", "Root=1-" + signing_key_.substr(0, 8) + "-" +
                          std::string(24 - std::min<std::size_t>(24, number.size()), '0') + number + ";" +
                          printable(request.trace_id, 128));
  return answer;
}

ServerAnswer Router::route(const Context& context) {
  if (context.place.role == ServerPlace::Role::cdn) return cdn(context);
  if (!is_authorized(context.request)) {
    auto answer = failure(401, "", "Invalid credentials in Authorization header");
    answer.headers.emplace_back("WWW-Authenticate", "Bearer");
    return answer;
  }
  if (context.at(0) == "api") return route_api(context);
  if (context.at(0) != "kernels" || context.size() < 6 || context.at(3) != "resolve") return no_route();
  if (!context.reads()) return wrong_method("GET, HEAD");
  auto repo = RepoId::parse(context.at(1) + "/" + context.at(2));
  if (!repo || !catalog_.source().has_repository(*repo)) return no_repository();
  return resolve(context, *repo);
}

ServerAnswer Router::route_api(const Context& context) {
  if (context.size() == 2 && context.at(1) == "whoami-v2")
    return failure(401, "", "Invalid username or password.");
  if (context.size() == 4 && context.at(1) == "organizations" && context.at(3) == "overview")
    return context.reads() ? organization(context.at(2)) : wrong_method("GET, HEAD");
  bool is_cached = context.size() > 6 && context.at(1) == "resolve-cache" && context.at(2) == "kernels";
  std::size_t first = is_cached ? 3 : 2;
  if (context.size() < first + 2 || (context.at(1) != "kernels" && !is_cached)) return no_route();
  auto repo = RepoId::parse(context.at(first) + "/" + context.at(first + 1));
  if (!repo || !catalog_.source().has_repository(*repo)) return no_repository();
  if (is_cached) return context.reads() ? resolve_cache(context, *repo) : wrong_method("GET, HEAD");
  return route_kernel(context, *repo);
}

ServerAnswer Router::route_kernel(const Context& context, const RepoId& repo) {
  const std::string verb = context.size() > 4 ? context.at(4) : "";
  if (verb == "paths-info" && context.size() >= 6)
    return context.request.method == "POST" ? paths_info(context, repo) : wrong_method("POST");
  if (!context.reads()) return wrong_method("GET, HEAD");
  if (context.size() == 4) return info(repo, "main");
  if (verb == "revision" && context.size() >= 6) return info(repo, context.target.tail(5));
  if (verb == "refs" && context.size() == 5) return refs(context, repo);
  if (verb == "tree" && context.size() >= 6) return tree(context, repo);
  return no_route();
}

ServerAnswer Router::info(const RepoId& repo, std::string_view revision) {
  auto commit = catalog_.resolve(repo, revision);
  if (!commit) return no_revision();
  auto tree = catalog_.tree(repo, *commit);
  if (!tree) return server_fault(tree.error());
  return json_answer({{"_id", sha256_hex(repo.str()).substr(0, 24)},
                      {"id", repo.str()},
                      {"author", repo.publisher()},
                      {"sha", commit->str()},
                      {"lastModified", kNoDate},
                      {"private", false},
                      {"gated", false},
                      {"downloads", 0},
                      {"likes", 0},
                      {"trustedPublisher", is_trusted(repo.publisher())},
                      {"supportedDriverFamilies", driver_families(**tree)}});
}

ServerAnswer Router::refs(const Context& context, const RepoId& repo) {
  Json branches = Json::array();
  Json converts = Json::array();
  Json tags = Json::array();
  Json pulls = Json::array();
  constexpr std::string_view kPull = "refs/pr/";
  constexpr std::string_view kConvert = "refs/convert/";
  for (const auto& [name, commit] : catalog_.refs(repo)) {
    if (name.starts_with(kPull)) {
      pulls.push_back(ref_json(name.substr(kPull.size()), name, commit));
    } else if (name.starts_with(kConvert)) {
      converts.push_back(ref_json(name.substr(kConvert.size()), name, commit));
    } else if (is_version_tag(name)) {
      tags.push_back(ref_json(name, "refs/tags/" + name, commit));
    } else {
      branches.push_back(ref_json(name, "refs/heads/" + name, commit));
    }
  }
  Json out{{"branches", branches}, {"converts", converts}, {"tags", tags}};
  if (is_true(context.target.value("include_prs"))) out["pullRequests"] = pulls;
  return json_answer(out);
}

ServerAnswer Router::tree(const Context& context, const RepoId& repo) {
  const auto& target = context.target;
  auto commit = catalog_.resolve(repo, context.at(5));
  if (!commit) return no_revision();
  auto tree = catalog_.tree(repo, *commit);
  if (!tree) return server_fault(tree.error());
  auto folder = target.tail(6);
  while (folder.ends_with('/'))
    folder.pop_back();
  auto nodes = (*tree)->below(folder);
  if (!nodes) return no_entry(*commit);

  bool expand = is_true(target.value("expand"));
  bool recursive = is_true(target.value("recursive"));
  std::size_t limit = expand ? kExpandedPage : kPage;
  auto asked = target.value("limit");
  std::size_t wanted = 0;
  std::from_chars(asked.data(), asked.data() + asked.size(), wanted);
  if (wanted > 0) limit = std::min(limit, wanted);

  auto cursor = from_base64(target.value("cursor"));
  if (!cursor) return failure(400, "", "Invalid cursor");
  std::string after(reinterpret_cast<const char*>(cursor->data()), cursor->size());
  auto it = after.empty() ? nodes->begin() : std::ranges::upper_bound(*nodes, after, {}, &TreeNode::key);
  auto is_shown = [&](const TreeNode& node) {
    return recursive ||
           node.path().substr(folder.empty() ? 0 : folder.size() + 1).find('/') == std::string_view::npos;
  };
  Json out = Json::array();
  std::string last;
  for (; it != nodes->end() && out.size() < limit; ++it) {
    if (!is_shown(*it)) continue;
    out.push_back(node_json(*it, *commit, expand));
    last = it->key;
  }
  auto answer = json_answer(out);
  if (std::find_if(it, nodes->end(), is_shown) == nodes->end()) return answer;
  auto host = printable(context.request.host, 255);
  auto path = context.request.target.substr(0, context.request.target.find('?'));
  auto encoded = percent_encode(to_base64(std::as_bytes(std::span<const char>(last.data(), last.size()))));
  answer.headers.emplace_back(
      "Link", "<" + (host.empty() ? context.place.origin : "http://" + host) + printable(path, 8192) +
                  "?recursive=" + (recursive ? "true" : "false") + "&expand=" + (expand ? "true" : "false") +
                  "&limit=" + std::to_string(limit) + "&cursor=" + encoded + ">; rel=\"next\"");
  return answer;
}

ServerAnswer Router::paths_info(const Context& context, const RepoId& repo) {
  auto commit = catalog_.resolve(repo, context.target.tail(5));
  if (!commit) return no_revision();
  auto tree = catalog_.tree(repo, *commit);
  if (!tree) return server_fault(tree.error());
  bool expand = false;
  Json out = Json::array();
  for (const auto& path : requested_paths(context.request, expand))
    if (const auto* node = (*tree)->find(path)) out.push_back(node_json(*node, *commit, expand));
  return json_answer(out);
}

ServerAnswer Router::resolve(const Context& context, const RepoId& repo) {
  auto commit = catalog_.resolve(repo, context.at(4));
  if (!commit) return no_revision();
  auto tree = catalog_.tree(repo, *commit);
  if (!tree) return server_fault(tree.error());
  const auto* file = (*tree)->find_file(context.target.tail(5));
  if (file == nullptr) return no_entry(*commit);
  bool is_large = file->blob.is_sha256();
  auto delivery = is_large ? options_.large_files : options_.small_files;
  if (delivery == Delivery::redirect) return redirect(context, repo, *commit, *file);
  auto answer = content(context, repo, *commit, *file, file->blob.str());
  answer.headers.emplace_back("X-Repo-Commit", commit->str());
  if (!is_large) return answer;
  answer.headers.emplace_back("X-Linked-ETag", "\"" + file->blob.str() + "\"");
  answer.headers.emplace_back("X-Linked-Size", std::to_string(file->size));
  return answer;
}

ServerAnswer Router::redirect(const Context& context, const RepoId& repo, const Commit& commit,
                              const FileEntry& file) {
  ServerAnswer answer{.content_type = "text/plain; charset=utf-8"};
  answer.headers.emplace_back("X-Repo-Commit", commit.str());
  std::string location;
  if (file.blob.is_sha256()) {
    answer.status = 302;
    answer.headers.emplace_back("X-Linked-ETag", "\"" + file.blob.str() + "\"");
    answer.headers.emplace_back("X-Linked-Size", std::to_string(file.size));
    auto place = "/_cdn/kernels/" + repo.str() + "/" + commit.str() + "/" + file.blob.str();
    location = "http://" + host_without_port(context.request.host, context.place.origin) + ":" +
               std::to_string(context.place.cdn_port) + place + "?Signature=" + sign(place);
  } else {
    answer.status = 307;
    location = "/api/resolve-cache/kernels/" + repo.str() + "/" + commit.str() + "/" +
               percent_encode(file.path.str(), "/") +
               "?etag=" + percent_encode("\"" + file.blob.str() + "\"");
  }
  answer.headers.emplace_back("Location", location);
  answer.body = "Redirecting to " + location;
  return answer;
}

ServerAnswer Router::resolve_cache(const Context& context, const RepoId& repo) {
  auto commit = catalog_.resolve(repo, context.at(5));
  if (!commit) return no_revision();
  auto tree = catalog_.tree(repo, *commit);
  if (!tree) return server_fault(tree.error());
  const auto* file = (*tree)->find_file(context.target.tail(6));
  if (file == nullptr) return no_entry(*commit);
  auto answer = content(context, repo, *commit, *file, file->blob.str());
  answer.headers.emplace_back("X-Repo-Commit", commit->str());
  return answer;
}

ServerAnswer Router::cdn(const Context& context) {
  if (!context.reads()) return wrong_method("GET, HEAD");
  // The address is signed. Stores refuse a second proof of identity, so a client that leaks its token fails.
  if (!context.request.authorization.empty()) return failure(400, "", "Only one auth mechanism allowed");
  if (context.size() != 6 || context.at(0) != "_cdn" || context.at(1) != "kernels") return no_route();
  if (!equal_in_constant_time(context.target.value("Signature"), sign("/" + context.target.tail(0))))
    return failure(403, "", "The signature of this address is wrong");
  auto repo = RepoId::parse(context.at(2) + "/" + context.at(3));
  auto commit = Commit::parse(context.at(4));
  if (!repo || !commit) return no_route();
  auto tree = catalog_.tree(*repo, *commit);
  const auto* file = tree ? (*tree)->find_blob(context.at(5)) : nullptr;
  if (file == nullptr) return failure(404, "", "No such object");
  // Like a store that knows nothing of git: its tag is not the hash of the content.
  return content(context, *repo, *commit, *file, file->blob.str().substr(0, 32) + "-1");
}

ServerAnswer Router::content(const Context& context, const RepoId& repo, const Commit& commit,
                             const FileEntry& file, const std::string& etag) {
  ServerAnswer answer{.content_type = "application/octet-stream"};
  answer.headers.emplace_back("ETag", "\"" + etag + "\"");
  answer.headers.emplace_back("Accept-Ranges", "bytes");
  if (etag_matches(context.request.if_none_match, etag)) {
    answer.status = 304;
    return answer;
  }
  bool may_be_partial = context.request.if_range.empty() || etag_matches(context.request.if_range, etag);
  auto range = parse_range(may_be_partial ? context.request.range : "", file.size);
  auto total = std::to_string(file.size);
  if (range.kind == AskedRange::Kind::unsatisfiable) {
    auto refusal = failure(416, "", "The range is outside the file");
    refusal.headers.emplace_back("Content-Range", "bytes */" + total);
    return refusal;
  }
  auto fd = catalog_.source().open(repo, commit, file);
  if (!fd) return server_fault(fd.error());
  FilePart part{.fd = std::make_shared<UniqueFd>(std::move(*fd)), .offset = 0, .length = file.size};
  if (range.kind == AskedRange::Kind::part) {
    answer.status = 206;
    part.offset = range.first;
    part.length = range.length;
    answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(range.first) + "-" +
                                                     std::to_string(range.first + range.length - 1) + "/" +
                                                     total);
  }
  answer.body = std::move(part);
  return answer;
}

ServerAnswer Router::organization(const std::string& name) {
  bool trusted = is_trusted(name);
  bool named = std::ranges::find(options_.trusted_publishers, name) != options_.trusted_publishers.end();
  if (!named && !catalog_.source().has_publisher(name)) return failure(404, "", "No organization found");
  return json_answer({{"name", name},
                      {"fullname", name},
                      {"avatarUrl", ""},
                      {"isVerified", false},
                      {"isFollowing", false},
                      {"plan", nullptr},
                      {"numUsers", 0},
                      {"numModels", 0},
                      {"numSpaces", 0},
                      {"numDatasets", 0},
                      {"numFollowers", 0},
                      {"numPapers", 0},
                      {"trustedKernelPublisher", trusted}});
}

}  // namespace kernels::hub
