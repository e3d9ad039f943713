#include "variant_signature.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include "kernels/base/hash.h"
#include "kernels/base/log.h"

namespace kernels::ops {

namespace {

constexpr const char* kMetadata = "metadata.json";
constexpr const char* kBundle = "metadata.json.sigstore";

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What a receipt is about: every path and every blob of the variant.
std::string content_id(const LockedVariant& variant) {
  std::string text = variant.name + "\n";
  for (const auto& file : variant.files)
    text += file.path.str() + "\n" + file.blob.str() + "\n";
  return sha256_hex(text);
}

std::string pack(const verify::Signature& signature) {
  return nlohmann::json::array({signature.issuer, signature.name, signature.source_repository,
                                signature.source_commit, signature.source_ref, signature.workflow,
                                signature.run, signature.log, signature.log_index, signature.signed_at})
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<verify::Signature> unpack(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  constexpr std::size_t kTexts = 8;
  if (!json.is_array() || json.size() != kTexts + 2) return std::nullopt;
  for (std::size_t i = 0; i < kTexts; ++i)
    if (!json[i].is_string()) return std::nullopt;
  if (!json[kTexts].is_number_unsigned() || !json[kTexts + 1].is_number_integer()) return std::nullopt;
  return verify::Signature{.issuer = json[0],
                           .name = json[1],
                           .source_repository = json[2],
                           .source_commit = json[3],
                           .source_ref = json[4],
                           .workflow = json[5],
                           .run = json[6],
                           .log = json[7],
                           .log_index = json[8],
                           .signed_at = json[9]};
}

/// The text of a small file; nothing if there is none. Errors  as of the place where it is.
Result<std::optional<std::string>> text_of(VariantContent& content, const char* path) {
  if (content.find(path) == nullptr) return std::nullopt;
  auto text = content.text(path);
  if (!text) return fail(std::move(text).error());
  return std::move(*text);
}

verify::VariantVerification unreadable(verify::Outcome outcome, const Error& error) {
  return {.outcome = outcome, .reason = error.text(), .hint = error.hint()};
}

const FileEntry* find_file(const LockedVariant& variant, const char* name) {
  auto path = "build/" + variant.name + "/" + name;
  auto found = std::ranges::find(variant.files, path, [](const FileEntry& file) { return file.path.str(); });
  return found == variant.files.end() ? nullptr : &*found;
}

bool has(const std::vector<FetchItem>& items, const RepoId& repo, const BlobId& blob) {
  return std::ranges::any_of(
      items, [&](const FetchItem& item) { return item.repo == repo && item.file.blob == blob; });
}

}  // namespace

verify::VariantVerification verify_variant(VariantContent& content, const SignatureRules& rules,
                                           WithDigest digest, const KnownBlob& known) {
  auto bundle = text_of(content, kBundle);
  if (!bundle) return unreadable(verify::Outcome::signature_bundle_invalid, bundle.error());
  auto metadata = *bundle ? text_of(content, kMetadata) : std::optional<std::string>();
  if (!metadata) return unreadable(verify::Outcome::metadata_missing, metadata.error());
  auto view = [](const std::optional<std::string>& text) {
    return text ? std::optional<std::string_view>(*text) : std::nullopt;
  };
  auto out =
      verify::verify_metadata(view(*metadata), view(*bundle), rules.root(), rules.signers(), kMetadata);
  if (out.outcome != verify::Outcome::success || digest == WithDigest::no) return out;
  auto findings = compare_with_digest(content, *out.metadata, known);
  if (findings.good()) return out;
  out.outcome = verify::Outcome::digest_verification_failure;
  out.reason = findings.first();
  return out;
}

namespace {

VariantSignature signature_of(const LockedKernel& kernel, const LockedVariant& variant) {
  return {.repo = kernel.repo, .commit = kernel.commit, .variant = variant.name, .result = {}};
}

/// What is known without reading a file: that there is no signature, or that it was verified before.
std::optional<VariantSignature> known_signature(const LockedKernel& kernel, const LockedVariant& variant,
                                                const SignatureRules& rules,
                                                const cache::VerifiedRecord& record) {
  auto out = signature_of(kernel, variant);
  if (find_file(variant, kBundle) == nullptr) {
    out.result.reason = "not signed";
    return out;
  }
  const auto* receipt = record.receipt(content_id(variant), rules.id(), now());
  auto signature = receipt == nullptr ? std::nullopt : unpack(receipt->identity);
  if (!signature) return std::nullopt;
  out.result.outcome = verify::Outcome::success;
  out.result.signature = std::move(signature);
  out.is_receipt = true;
  return out;
}

cache::Receipt receipt_of(const LockedVariant& variant, const SignatureRules& rules,
                          const VariantSignature& signature) {
  return {.content = content_id(variant),
          .rules = rules.id(),
          .verified_at = now(),
          .identity = pack(*signature.result.signature)};
}

}  // namespace

VariantSignature verify_cached(VariantContent& content, const LockedKernel& kernel,
                               const LockedVariant& variant, const SignatureRules& rules,
                               cache::VerifiedRecord& record) {
  if (auto known = known_signature(kernel, variant, rules, record)) return std::move(*known);
  auto out = signature_of(kernel, variant);
  out.result = verify_variant(content, rules, WithDigest::yes, KnownBlobs(variant));
  if (out.is_good()) record.note(receipt_of(variant, rules, out));
  return out;
}

void keep_receipt(cache::VerifiedRecord& record, const LockedVariant& variant, const SignatureRules& rules,
                  const VariantSignature& signature) {
  if (signature.is_good() && !signature.is_receipt) record.note(receipt_of(variant, rules, signature));
}

/// A wrong signature is told in every run; that there is none, when the kernel comes.
void warn_of_signatures(const std::vector<VariantSignature>& signatures, const EventSink& events) {
  std::set<std::string> unsigned_kernels;
  for (const auto& signature : signatures) {
    const auto& hint = signature.result.hint;
    if (signature.result.outcome != verify::Outcome::signature_bundle_missing) {
      if (!signature.is_good()) events(Warning{signature.complaint() + (hint.empty() ? "" : "; " + hint)});
    } else if (signature.is_new) {
      unsigned_kernels.insert(signature.repo.str());
    }
  }
  if (unsigned_kernels.empty()) return;
  std::string names;
  for (const auto& name : unsigned_kernels)
    names += (names.empty() ? "`" : ", `") + name + "`";
  events(Warning{"not signed: " + names + "; `--signatures require` refuses such kernels"});
}

SignatureWork::SignatureWork(const cache::Layout& layout, const SignatureRules& rules,
                             const DownloadPlan& plan)
    : layout_(layout), rules_(rules) {
  if (rules.policy() == SignaturePolicy::off) return;
  for (const auto& item : plan.kernels) {
    std::set<std::string> chosen;
    for (const auto& file : item.files)
      if (file.path.depth() > 1) chosen.insert(file.path.str().substr(6, file.path.str().find('/', 6) - 6));
    std::optional<cache::VerifiedRecord> record;
    for (const auto& variant : item.kernel->variants) {
      if (!chosen.contains(variant.name)) continue;
      if (!record && find_file(variant, kBundle) != nullptr)
        record = cache::VerifiedRecord::load(layout, item.kernel->repo);
      add(*item.kernel, variant, record.value_or(cache::VerifiedRecord{}), plan);
    }
  }
  bool has_work = std::ranges::any_of(jobs_, [](const Job& job) { return !job.result; });
  if (has_work) thread_ = std::thread([this] { work(); });
}

SignatureWork::~SignatureWork() {
  {
    std::lock_guard guard(mutex_);
    ending_ = true;
    ready_.clear();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void SignatureWork::add(const LockedKernel& kernel, const LockedVariant& variant,
                        const cache::VerifiedRecord& record, const DownloadPlan& plan) {
  auto& job = jobs_.emplace_back();
  job.kernel = &kernel;
  job.variant = &variant;
  job.is_new = std::ranges::any_of(
      variant.files, [&](const FileEntry& file) { return has(plan.fetch, kernel.repo, file.blob); });
  job.result = known_signature(kernel, variant, rules_, record);
  if (job.result) {
    job.result->is_new = job.is_new;
    return refuse_if_bad(*job.result);
  }
  for (const char* name : {kMetadata, kBundle})
    if (const auto* file = find_file(variant, name);
        file != nullptr &&
        (has(plan.fetch, kernel.repo, file->blob) || has(plan.unchecked, kernel.repo, file->blob)))
      job.missing.insert(file->blob.str());
  if (job.missing.empty()) ready_.push_back(&job);
}

void SignatureWork::arrived(const FetchItem& item) {
  bool wakes = false;
  for (auto& job : jobs_) {
    if (job.kernel->repo != item.repo || job.missing.erase(item.file.blob.str()) == 0 || !job.missing.empty())
      continue;
    std::lock_guard guard(mutex_);
    ready_.push_back(&job);
    wakes = true;
  }
  if (wakes) wake_.notify_one();
}

void SignatureWork::work() {
  std::unique_lock guard(mutex_);
  while (true) {
    wake_.wait(guard, [this] { return ending_ || !ready_.empty(); });
    if (ready_.empty()) return;
    auto& job = *ready_.front();
    ready_.pop_front();
    guard.unlock();
    auto result = signature_of(*job.kernel, *job.variant);
    auto files = blob_content(layout_, job.kernel->repo, *job.variant);
    result.result = verify_variant(*files, rules_, WithDigest::no);
    result.is_new = job.is_new;
    guard.lock();
    job.result = std::move(result);
    refuse_if_bad(*job.result);
  }
}

void SignatureWork::refuse_if_bad(const VariantSignature& signature) {
  bool is_refused = rules_.policy() == SignaturePolicy::require && !signature.is_good();
  if (is_refused && refused_ == nullptr) refused_ = &signature;
}

const VariantSignature* SignatureWork::refused() {
  std::lock_guard guard(mutex_);
  return refused_;
}

void SignatureWork::compare(Job& job) const {
  auto files = blob_content(layout_, job.kernel->repo, *job.variant);
  auto findings = compare_with_digest(*files, *job.result->result.metadata, KnownBlobs(*job.variant));
  if (findings.good()) return;
  job.result->result.outcome = verify::Outcome::digest_verification_failure;
  job.result->result.reason = findings.first();
}

std::vector<VariantSignature> SignatureWork::finish() {
  {
    std::lock_guard guard(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (auto& job : jobs_) {
    if (!job.result || !job.result->is_good() || job.result->is_receipt) continue;
    compare(job);
    refuse_if_bad(*job.result);
  }
  keep_receipts();
  std::vector<VariantSignature> out;
  for (auto& job : jobs_)
    if (job.result) out.push_back(*job.result);
  return out;
}

void SignatureWork::keep_receipts() {
  std::map<RepoId, cache::VerifiedRecord> records;
  for (const auto& job : jobs_) {
    if (!job.result || !job.result->is_good() || job.result->is_receipt) continue;
    auto [record, is_new] = records.try_emplace(job.kernel->repo);
    // Read now: what the download verified has been added to it.
    if (is_new) record->second = cache::VerifiedRecord::load(layout_, job.kernel->repo);
    record->second.note(receipt_of(*job.variant, rules_, *job.result));
  }
  for (const auto& [repo, record] : records)
    if (auto saved = record.save(layout_, repo); !saved) log(LogLevel::info, describe(saved.error()));
}

}  // namespace kernels::ops
