#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/model/repo.h"

namespace kernels::hub {

/// Scheme, host and port: what must stay the same for a token to be sent on.
struct Origin {
  std::string scheme;  ///< `https` or `http`
  std::string host;    ///< lower case
  std::uint16_t port = 0;
  bool operator==(const Origin&) const = default;
  bool is_loopback() const;
};

/// Errors  invalid_argument: another scheme, user-info in the address, an odd host name, control characters.
Result<Origin> origin_of(std::string_view url);

/// Whether requests may go unencrypted to other machines.
enum class PlainHttp {
  loopback_only,
  allowed,  ///< the user asked for it with `KERNELS_ALLOW_HTTP`
};

/// Errors  invalid_argument: plain http to another machine, which was not asked for.
Status check_encryption(const Origin& origin, PlainHttp plain);

/// A redirect's target, resolved against the URL that answered with it (RFC 3986 §5, as far as Location
/// needs).
/// Errors  integrity: an address that must not be followed: another scheme than http and https, a step from
///         https down to http, user-info, control characters, from a public host to a loopback address, or
///         to the link-local addresses where clouds keep credentials.
Result<std::string> redirect_target(std::string_view from, std::string_view location);

/// Everything outside letters, digits, `_ . - ~` becomes %XX; `keep_slashes` leaves `/` alone.
enum class Slashes { encode, keep };
std::string percent_encode(std::string_view text, Slashes slashes);

/// The URL without user-info and with the values of its query dropped: signed URLs are secrets.
std::string display_url(std::string_view url);

/// `<endpoint>/kernels/<id>/resolve/<revision>/<path>`
std::string resolve_url(std::string_view endpoint, const RepoId& repo, std::string_view revision,
                        const RepoPath& path);
/// `<endpoint>/api/kernels/<id><tail>`
std::string api_url(std::string_view endpoint, const RepoId& repo, std::string_view tail);

}  // namespace kernels::hub
