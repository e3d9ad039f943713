#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels {

/// A version number of two parts as machines and frameworks have them: torch 2.11, CUDA 13.0, glibc 2.28.
struct MajorMinor {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  auto operator<=>(const MajorMinor&) const = default;

  /// "13.0"; further parts and a local suffix ("2.11.0+cu130") are accepted and dropped; "13" is 13.0.
  /// Errors  invalid_argument.
  static Result<MajorMinor> parse(std::string_view text);
  std::string str() const { return std::to_string(major) + "." + std::to_string(minor); }
};

/// A version by PEP 440, e.g. `1!2.0.1rc1.post2.dev3+local.7`. Trailing zeros of the release do not count.
/// Source  https://peps.python.org/pep-0440/, sections "Version scheme" and "Summary of permitted suffixes".
class Pep440Version {
 public:
  /// Accepts the spellings that PEP 440 normalises: `v1.0`, `1.0-alpha.1`, `1.0-1` (post release), capitals.
  /// Errors  invalid_argument.
  static Result<Pep440Version> parse(std::string_view text);

  std::strong_ordering operator<=>(const Pep440Version& other) const;
  bool operator==(const Pep440Version& other) const { return (*this <=> other) == 0; }
  /// The normalised spelling: `v1.0-alpha.1` is `1.0a1`.
  std::string str() const;
  bool is_prerelease() const { return pre_.has_value() || dev_.has_value(); }
  bool is_postrelease() const { return post_.has_value(); }
  bool is_development() const { return dev_.has_value(); }
  const std::string& local() const { return local_; }
  const std::vector<std::uint64_t>& release() const { return release_; }
  std::uint64_t epoch() const { return epoch_; }
  /// The same version without its local part.
  Pep440Version without_local() const;
  /// The lowest of its pre-releases: `1.0` gives `1.0.dev0`.
  Pep440Version first_prerelease() const;
  /// `1.0.post2` of `1.0`, `1.0a1.post1` of `1.0a1`.
  bool is_postrelease_of(const Pep440Version& other) const;

 private:
  friend class Pep440Parser;
  struct Pre {
    char letter = 'a';  ///< 'a', 'b' or 'c' (release candidate)
    std::uint64_t number = 0;
    auto operator<=>(const Pre&) const = default;
  };
  std::uint64_t epoch_ = 0;
  std::vector<std::uint64_t> release_;
  std::optional<Pre> pre_;
  std::optional<std::uint64_t> post_;
  std::optional<std::uint64_t> dev_;
  std::string local_;
};

/// A comma-separated set of PEP 440 specifiers, e.g. `>=0.0.3,<0.1`; empty means any version.
/// Operators: `==` `!=` (also with `.*`), `<=` `>=` `<` `>` `~=` `===`.
class SpecifierSet {
 public:
  /// Errors  invalid_argument, naming the piece that is not a specifier.
  static Result<SpecifierSet> parse(std::string_view text);

  const std::string& str() const { return text_; }
  /// Whether the version satisfies every specifier; says nothing about pre-releases.
  bool contains(const Pep440Version& version) const;
  /// Index of the highest candidate that satisfies the set. Pre-releases count only if a specifier names one
  /// or nothing else matches. Equal versions: the earlier candidate.
  std::optional<std::size_t> choose(const std::vector<Pep440Version>& candidates) const;

 private:
  struct Specifier {
    std::string op;
    Pep440Version version;
    std::string text;
    bool wildcard = false;
  };
  static Result<Specifier> parse_one(std::string_view text);
  static bool matches(const Specifier& specifier, const Pep440Version& version);
  std::string text_;
  std::vector<Specifier> specifiers_;
};

/// The number N of a version branch `vN`, written without leading zeros. Nothing for any other name.
std::optional<std::uint64_t> version_branch_number(std::string_view branch);

}  // namespace kernels
