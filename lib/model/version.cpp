#include "kernels/model/version.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace kernels {

namespace {

std::optional<std::uint64_t> to_number(std::string_view digits) {
  std::uint64_t value = 0;
  const auto* end = digits.data() + digits.size();
  auto [rest, code] = std::from_chars(digits.data(), end, value);
  if (code != std::errc() || rest != end || digits.empty()) return std::nullopt;
  return value;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trim(std::string_view text) {
  auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

}  // namespace

Result<MajorMinor> MajorMinor::parse(std::string_view text) {
  auto bad = [&] {
    return fail(Errc::invalid_argument, "`" + std::string(text) + "` is not a version such as `13.0`");
  };
  auto plain = text.substr(0, text.find('+'));
  auto dot = plain.find('.');
  auto major = to_number(plain.substr(0, dot));
  if (!major || *major > 1'000'000) return bad();
  MajorMinor version{.major = static_cast<std::uint32_t>(*major), .minor = 0};
  if (dot == std::string_view::npos) return version;
  auto rest = plain.substr(dot + 1);
  auto digits = rest.substr(0, rest.find_first_not_of("0123456789"));
  auto minor = to_number(digits);
  bool tail_is_dotted = digits.size() == rest.size() || rest[digits.size()] == '.';
  if (!minor || *minor > 1'000'000 || !tail_is_dotted) return bad();
  version.minor = static_cast<std::uint32_t>(*minor);
  return version;
}

/// A cursor over one version text. PEP 440's grammar is regular, so every piece is read left to right and an
/// optional piece that does not fit leaves the cursor where it was.
class Pep440Parser {
 public:
  explicit Pep440Parser(std::string text) : text_(std::move(text)), rest_(text_) {}

  std::optional<Pep440Version> parse() {
    if (rest_.starts_with('v')) rest_.remove_prefix(1);
    if (!epoch() || !release()) return std::nullopt;
    pre();
    if (!post()) return std::nullopt;
    dev();
    if (!local() || !rest_.empty()) return std::nullopt;
    return version_;
  }

 private:
  std::optional<std::uint64_t> number() {
    auto digits = rest_.substr(0, std::min(rest_.find_first_not_of("0123456789"), rest_.size()));
    auto value = to_number(digits);
    if (value) rest_.remove_prefix(digits.size());
    return value;
  }
  void separator() {
    if (!rest_.empty() && (rest_[0] == '.' || rest_[0] == '-' || rest_[0] == '_')) rest_.remove_prefix(1);
  }
  /// One of the words, with an optional separator before it and an optional number after it.
  template <std::size_t N>
  std::optional<std::pair<std::size_t, std::uint64_t>> word(const std::array<std::string_view, N>& words) {
    auto saved = rest_;
    separator();
    for (std::size_t i = 0; i < N; ++i) {
      if (!rest_.starts_with(words[i])) continue;
      rest_.remove_prefix(words[i].size());
      auto before_number = rest_;
      separator();
      auto value = number();
      if (!value) rest_ = before_number;
      return std::pair{i, value.value_or(0)};
    }
    rest_ = saved;
    return std::nullopt;
  }
  bool epoch() {
    auto bang = rest_.find('!');
    if (bang == std::string_view::npos) return true;
    auto value = to_number(rest_.substr(0, bang));
    if (!value) return false;
    version_.epoch_ = *value;
    rest_.remove_prefix(bang + 1);
    return true;
  }
  bool release() {
    for (;;) {
      auto value = number();
      if (!value) return false;
      version_.release_.push_back(*value);
      if (version_.release_.size() > 64) return false;
      if (rest_.size() < 2 || rest_[0] != '.' || !is_digit(rest_[1])) return true;
      rest_.remove_prefix(1);
    }
  }
  void pre() {
    static constexpr std::array<std::string_view, 8> kWords = {"alpha", "beta", "preview", "pre",
                                                               "a",     "b",    "rc",      "c"};
    static constexpr std::array<char, 8> kLetters = {'a', 'b', 'c', 'c', 'a', 'b', 'c', 'c'};
    if (auto found = word(kWords))
      version_.pre_ = Pep440Version::Pre{.letter = kLetters[found->first], .number = found->second};
  }
  bool post() {
    static constexpr std::array<std::string_view, 3> kWords = {"post", "rev", "r"};
    if (rest_.size() >= 2 && rest_[0] == '-' && is_digit(rest_[1])) {
      rest_.remove_prefix(1);
      version_.post_ = number();
      return version_.post_.has_value();
    }
    if (auto found = word(kWords)) version_.post_ = found->second;
    return true;
  }
  void dev() {
    static constexpr std::array<std::string_view, 1> kWords = {"dev"};
    if (auto found = word(kWords)) version_.dev_ = found->second;
  }
  bool local() {
    if (!rest_.starts_with('+')) return true;
    auto part = rest_.substr(1);
    auto is_local = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
    bool well_formed =
        !part.empty() && is_local(part.front()) && is_local(part.back()) &&
        std::ranges::all_of(part, [&](char c) { return is_local(c) || c == '.' || c == '-' || c == '_'; });
    if (!well_formed) return false;
    rest_ = {};
    return local_segments(part);
  }

  /// Segments are never empty, and numbers among them lose leading zeros.
  bool local_segments(std::string_view part) {
    for (std::size_t begin = 0; begin <= part.size();) {
      auto end = std::min(part.find_first_of(".-_", begin), part.size());
      auto segment = part.substr(begin, end - begin);
      if (segment.empty()) return false;
      auto value = to_number(segment);
      version_.local_ += (begin == 0 ? "" : ".") + (value ? std::to_string(*value) : std::string(segment));
      begin = end + 1;
    }
    return true;
  }

  std::string text_;
  std::string_view rest_;
  Pep440Version version_;
};

Result<Pep440Version> Pep440Version::parse(std::string_view text) {
  auto version = Pep440Parser(lower_case(trim(text))).parse();
  if (!version)
    return fail(Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a version")
                    .with_hint("versions follow PEP 440, for example `0.0.3` or `1.2rc1`"));
  return *version;
}

static std::strong_ordering compare_releases(const std::vector<std::uint64_t>& a,
                                             const std::vector<std::uint64_t>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    auto order = (i < a.size() ? a[i] : 0) <=> (i < b.size() ? b[i] : 0);
    if (order != 0) return order;
  }
  return std::strong_ordering::equal;
}

/// Local parts compare segment by segment: numbers after texts, a longer one after its prefix.
static std::strong_ordering compare_locals(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    auto left = a.substr(0, a.find('.'));
    auto right = b.substr(0, b.find('.'));
    auto left_number = to_number(left);
    auto right_number = to_number(right);
    auto order = left_number && right_number ? *left_number <=> *right_number
                 : left_number               ? std::strong_ordering::greater
                 : right_number              ? std::strong_ordering::less
                                             : left <=> right;
    if (order != 0) return order;
    a.remove_prefix(std::min(a.size(), left.size() + 1));
    b.remove_prefix(std::min(b.size(), right.size() + 1));
  }
  return a.size() <=> b.size();
}

std::strong_ordering Pep440Version::operator<=>(const Pep440Version& other) const {
  // Where a part is missing, PEP 440 places the version: 1.0.dev1 < 1.0a1 < 1.0 < 1.0.post1.
  auto pre_rank = [](const Pep440Version& v) {
    if (v.pre_) return 1;
    return !v.post_ && v.dev_ ? 0 : 2;
  };
  if (auto order = epoch_ <=> other.epoch_; order != 0) return order;
  if (auto order = compare_releases(release_, other.release_); order != 0) return order;
  if (auto order = pre_rank(*this) <=> pre_rank(other); order != 0) return order;
  if (pre_ && other.pre_)
    if (auto order = *pre_ <=> *other.pre_; order != 0) return order;
  if (auto order = post_ <=> other.post_; order != 0) return order;
  if (auto order = !dev_.has_value() <=> !other.dev_.has_value(); order != 0) return order;
  if (auto order = dev_ <=> other.dev_; order != 0) return order;
  return compare_locals(local_, other.local_);
}

static std::string joined(const std::vector<std::uint64_t>& parts) {
  std::string out;
  for (auto part : parts)
    out += (out.empty() ? "" : ".") + std::to_string(part);
  return out;
}

std::string Pep440Version::str() const {
  std::string out = (epoch_ == 0 ? "" : std::to_string(epoch_) + "!") + joined(release_);
  if (pre_) out += (pre_->letter == 'c' ? "rc" : std::string(1, pre_->letter)) + std::to_string(pre_->number);
  if (post_) out += ".post" + std::to_string(*post_);
  if (dev_) out += ".dev" + std::to_string(*dev_);
  return local_.empty() ? out : out + "+" + local_;
}

Pep440Version Pep440Version::without_local() const {
  auto copy = *this;
  copy.local_.clear();
  return copy;
}

Pep440Version Pep440Version::first_prerelease() const {
  auto copy = without_local();
  copy.dev_ = 0;
  return copy;
}

bool Pep440Version::is_postrelease_of(const Pep440Version& other) const {
  return post_ && epoch_ == other.epoch_ && compare_releases(release_, other.release_) == 0 &&
         pre_ == other.pre_;
}

Result<SpecifierSet::Specifier> SpecifierSet::parse_one(std::string_view text) {
  static constexpr std::array<std::string_view, 8> kOperators = {
      "===", "~=", "==", "!=", "<=", ">=", "<", ">"};
  auto bad = [&] {
    return fail(Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a version specifier")
                    .with_hint("write for example `>=0.0.3,<0.1` or `==1.2.*`"));
  };
  const auto* op = std::ranges::find_if(
      kOperators, [&](std::string_view candidate) { return text.starts_with(candidate); });
  if (op == kOperators.end()) return bad();
  Specifier out{.op = std::string(*op), .version = {}, .text = std::string(trim(text.substr(op->size())))};
  std::string_view number = out.text;
  if (number.ends_with(".*")) {
    if (out.op != "==" && out.op != "!=") return bad();
    out.wildcard = true;
    number.remove_suffix(2);
  }
  auto version = Pep440Version::parse(number);
  if (!version) return bad();
  bool has_blank = number.find_first_of(" \t\r\n") != std::string_view::npos;
  bool bare_release = version->release().size() < 2 && out.op == "~=";
  bool local_in_order = !version->local().empty() && out.op != "==" && out.op != "!=" && out.op != "===";
  bool odd_wildcard =
      out.wildcard && (version->is_prerelease() || version->is_postrelease() || !version->local().empty());
  if (has_blank || bare_release || local_in_order || odd_wildcard) return bad();
  out.version = *version;
  return out;
}

Result<SpecifierSet> SpecifierSet::parse(std::string_view text) {
  SpecifierSet set;
  set.text_ = trim(text);
  std::string_view rest = set.text_;
  while (!rest.empty()) {
    auto comma = std::min(rest.find(','), rest.size());
    auto piece = trim(rest.substr(0, comma));
    rest.remove_prefix(std::min(rest.size(), comma + 1));
    if (piece.empty()) continue;
    auto specifier = parse_one(piece);
    if (!specifier)
      return fail(std::move(specifier).error().while_doing("reading the specifier `" + set.text_ + "`"));
    set.specifiers_.push_back(std::move(*specifier));
  }
  return set;
}

/// True if the version's epoch and release begin with those of `prefix`, missing parts counting as zero.
static bool has_prefix(const Pep440Version& version, const Pep440Version& prefix, std::size_t parts) {
  if (version.epoch() != prefix.epoch()) return false;
  for (std::size_t i = 0; i < parts; ++i) {
    auto part = i < version.release().size() ? version.release()[i] : 0;
    if (part != prefix.release()[i]) return false;
  }
  return true;
}

bool SpecifierSet::matches(const Specifier& specifier, const Pep440Version& version) {
  const auto& wanted = specifier.version;
  auto bare = version.without_local();
  if (specifier.op == "===") return version.str() == lower_case(specifier.text);
  if (specifier.op == "==" || specifier.op == "!=") {
    bool equal = specifier.wildcard       ? has_prefix(version, wanted, wanted.release().size())
                 : wanted.local().empty() ? bare == wanted
                                          : version == wanted;
    return equal == (specifier.op == "==");
  }
  if (specifier.op == "~=") return bare >= wanted && has_prefix(version, wanted, wanted.release().size() - 1);
  if (specifier.op == "<=") return bare <= wanted;
  if (specifier.op == ">=") return bare >= wanted;
  // `<1.0` leaves out 1.0's own pre-releases unless it names one.
  if (specifier.op == "<") return version < (wanted.is_prerelease() ? wanted : wanted.first_prerelease());
  // `>1.0` leaves out 1.0's post-releases unless it names one, and its local builds always.
  bool final_form = !wanted.is_postrelease() && !wanted.is_development();
  return bare > wanted && !(final_form && bare.is_postrelease_of(wanted));
}

bool SpecifierSet::contains(const Pep440Version& version) const {
  return std::ranges::all_of(specifiers_, [&](const Specifier& s) { return matches(s, version); });
}

std::optional<std::size_t> SpecifierSet::choose(const std::vector<Pep440Version>& candidates) const {
  bool names_prerelease = std::ranges::any_of(
      specifiers_, [](const Specifier& s) { return s.op != "!=" && s.version.is_prerelease(); });
  std::optional<std::size_t> best;
  std::optional<std::size_t> best_prerelease;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!contains(candidates[i])) continue;
    auto& slot = candidates[i].is_prerelease() && !names_prerelease ? best_prerelease : best;
    if (!slot || candidates[*slot] < candidates[i]) slot = i;
  }
  return best ? best : best_prerelease;
}

std::optional<std::uint64_t> version_branch_number(std::string_view branch) {
  if (!branch.starts_with('v')) return std::nullopt;
  auto digits = branch.substr(1);
  if (digits.size() > 1 && digits.starts_with('0')) return std::nullopt;
  return to_number(digits);
}

}  // namespace kernels
