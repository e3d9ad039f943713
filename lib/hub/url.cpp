#include "kernels/hub/url.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

#include <arpa/inet.h>

namespace kernels::hub {

static std::unexpected<Error> bad_url(std::string_view url, const std::string& why) {
  return fail(Errc::invalid_argument, "`" + display_url(url) + "` cannot be used as an address: " + why);
}

static bool is_host_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_' || c == ':' ||
         c == '[' || c == ']';
}

/// The address that a host name spells in any form that resolvers take: `127.0.0.1`, `127.1`, `0x7f000001`,
/// `[::ffff:127.0.0.1]`. An IPv6 address that holds no IPv4 one gives its last four bytes if all others are
/// zero.
static std::optional<std::uint32_t> numeric_address(const std::string& host) {
  in_addr four{};
  if (::inet_aton(host.c_str(), &four) != 0) return ntohl(four.s_addr);
  if (!host.starts_with('[') || !host.ends_with(']')) return std::nullopt;
  std::array<std::uint8_t, 16> six{};
  if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), six.data()) != 1) return std::nullopt;
  bool zeros = std::ranges::all_of(six.begin(), six.begin() + 10, [](auto byte) { return byte == 0; });
  bool mapped = six[10] == 0xff && six[11] == 0xff;
  bool plain = six[10] == 0 && six[11] == 0;
  if (!zeros || (!mapped && !plain)) return std::nullopt;
  auto last = (std::uint32_t{six[12]} << 24U) | (std::uint32_t{six[13]} << 16U) |
              (std::uint32_t{six[14]} << 8U) | six[15];
  return plain && last == 1 ? 0x7f000001U : last;
}

bool Origin::is_loopback() const {
  auto name = host.substr(0, host.find_last_not_of('.') + 1);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  auto address = numeric_address(name);
  return address && (*address >> 24U == 127 || *address >> 24U == 0);
}

/// Where clouds keep the credentials of a machine: 169.254.0.0/16, or fe80::/10.
static bool is_link_local(const Origin& origin) {
  auto address = numeric_address(origin.host);
  return (address && *address >> 16U == 0xa9fe) || origin.host.starts_with("[fe8") ||
         origin.host.starts_with("[fe9") || origin.host.starts_with("[fea") ||
         origin.host.starts_with("[feb");
}

Result<Origin> origin_of(std::string_view url) {
  Origin out;
  auto scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return bad_url(url, "only http and https are spoken");
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

Status check_encryption(const Origin& origin, PlainHttp plain) {
  if (origin.scheme != "http" || origin.is_loopback() || plain == PlainHttp::allowed) return {};
  return fail(Error(Errc::invalid_argument, "`http://" + origin.host +
                                                "` would be asked without encryption, where anybody on the "
                                                "way can read and change everything")
                  .with_hint("use https; if this network is to be trusted, set `KERNELS_ALLOW_HTTP=1`"));
}

static std::unexpected<Error> bad_redirect(std::string_view location, const std::string& why) {
  return fail(Error(Errc::integrity, "the server redirects to `" + display_url(location) + "`: " + why)
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
  bool has_scheme =
      location.find(':') < location.find_first_of("/?#");  // RFC 3986 §4.2: `data:,x` is no path
  std::string target = has_scheme ? std::string(location) : absolute(from, location);
  auto destination = origin_of(target);
  if (!destination) return bad_redirect(location, destination.error().text());
  if (source->scheme == "https" && destination->scheme == "http")
    return bad_redirect(location, "that would leave the encrypted connection");
  bool is_credentials = is_link_local(*destination) && !is_link_local(*source);
  if (is_credentials || (destination->is_loopback() && !source->is_loopback()))
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
  auto authority = scheme_end != std::string::npos ? scheme_end + 3
                   : out.starts_with("//")         ? 2
                                                   : std::string::npos;
  if (authority != std::string::npos) {
    auto authority_end = std::min(out.find('/', authority), out.size());
    auto at = out.rfind('@', authority_end);
    if (at != std::string::npos && at >= authority) out.erase(authority, at + 1 - authority);
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
