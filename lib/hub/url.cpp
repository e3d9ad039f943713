#include "kernels/hub/url.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace kernels::hub {

static std::unexpected<Error> bad_url(std::string_view url, const std::string& why) {
  return fail(Errc::invalid_argument, "`" + display_url(url) + "` cannot be used as an address: " + why);
}

static bool is_host_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_' || c == ':' ||
         c == '[' || c == ']';
}

bool Origin::is_loopback() const {
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

Result<Origin> origin_of(std::string_view url) {
  Origin out;
  auto scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return bad_url(url, "it has no scheme");
  out.scheme = url.substr(0, scheme_end);
  std::ranges::transform(out.scheme, out.scheme.begin(), [](unsigned char c) { return std::tolower(c); });
  if (out.scheme != "http" && out.scheme != "https") return bad_url(url, "only http and https are spoken");
  if (std::ranges::any_of(url, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }))
    return bad_url(url, "it holds a space or a control character");
  auto rest = url.substr(scheme_end + 3);
  auto authority = rest.substr(0, rest.find_first_of("/?#\\"));
  if (authority.find('@') != std::string_view::npos) return bad_url(url, "it holds a user name");
  if (!std::ranges::all_of(authority, is_host_character) || authority.empty())
    return bad_url(url, "its host name has characters that are not allowed");
  auto colon = authority.ends_with(']') ? std::string_view::npos : authority.rfind(':');
  out.host = authority.substr(0, colon);
  std::ranges::transform(out.host, out.host.begin(), [](unsigned char c) { return std::tolower(c); });
  out.port = out.scheme == "https" ? 443 : 80;
  if (colon == std::string_view::npos) return out;
  auto digits = authority.substr(colon + 1);
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (code != std::errc() || end != digits.data() + digits.size())
    return bad_url(url, "its port is not a number");
  return out;
}

static std::unexpected<Error> bad_redirect(std::string_view location, const std::string& why) {
  return fail(Error(Errc::network, "the server redirects to `" + display_url(location) + "`: " + why)
                  .with_hint("check the endpoint and any proxy or mirror in between"));
}

static std::string absolute(std::string_view from, std::string_view location) {
  auto scheme_end = from.find("://");
  auto path_begin = std::min(from.find_first_of("/?#", scheme_end + 3), from.size());
  if (location.starts_with("//")) return std::string(from.substr(0, scheme_end + 1)) + std::string(location);
  if (location.starts_with('/')) return std::string(from.substr(0, path_begin)) + std::string(location);
  auto path = from.substr(0, from.find_first_of("?#"));
  if (location.starts_with('?')) return std::string(path) + std::string(location);
  auto last_slash = path.rfind('/');
  auto base = last_slash < path_begin ? std::string(path) + "/" : std::string(path.substr(0, last_slash + 1));
  return base + std::string(location);
}

Result<std::string> redirect_target(std::string_view from, std::string_view location) {
  auto source = origin_of(from);
  if (!source) return fail(std::move(source).error());
  if (location.empty()) return bad_redirect(location, "the address is empty");
  auto scheme_end = location.find("://");
  bool has_scheme = scheme_end != std::string_view::npos && scheme_end < location.find_first_of("/?#");
  std::string target = has_scheme ? std::string(location) : absolute(from, location);
  auto destination = origin_of(target);
  if (!destination) return bad_redirect(location, destination.error().text());
  if (source->scheme == "https" && destination->scheme == "http")
    return bad_redirect(location, "that would leave the encrypted connection");
  bool is_private = destination->is_loopback() || destination->host == "169.254.169.254";
  if (is_private && !source->is_loopback())
    return bad_redirect(location, "a server elsewhere has no business with this machine's own addresses");
  return target.substr(0, target.find('#'));
}

std::string percent_encode(std::string_view text, Slashes slashes) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (byte < 0x80 && std::isalnum(byte) != 0) || c == '_' || c == '.' || c == '-' || c == '~' ||
                 (c == '/' && slashes == Slashes::keep);
    if (plain) {
      out += c;
      continue;
    }
    out += '%';
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

std::string display_url(std::string_view url) {
  std::string out(url.substr(0, url.find('?')));
  auto scheme_end = out.find("://");
  if (scheme_end != std::string::npos) {
    auto authority_end = std::min(out.find('/', scheme_end + 3), out.size());
    auto at = out.rfind('@', authority_end);
    if (at != std::string::npos && at > scheme_end) out.erase(scheme_end + 3, at - scheme_end - 2);
  }
  std::erase_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  return out.size() > 400 ? out.substr(0, 400) + "…" : out;
}

std::string resolve_url(std::string_view endpoint, const RepoId& repo, std::string_view revision,
                        const RepoPath& path) {
  return std::string(endpoint) + "/kernels/" + repo.str() + "/resolve/" +
         percent_encode(revision, Slashes::encode) + "/" + percent_encode(path.str(), Slashes::keep);
}

std::string api_url(std::string_view endpoint, const RepoId& repo, std::string_view tail) {
  return std::string(endpoint) + "/api/kernels/" + repo.str() + std::string(tail);
}

}  // namespace kernels::hub
