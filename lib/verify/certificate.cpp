#include <algorithm>
#include <array>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificate_impl.h"

namespace kernels::verify {

namespace {

constexpr const char* kOlderRoot =
    "the trusted root may be too old: name a newer one with `--trusted-root FILE` (any Sigstore client keeps "
    "one)";

/// The path to one authority, or nothing.
CertificateHandle issuer_by(X509* certificate, const Authority& authority, Milliseconds time,
                            std::string& complaint) {
  auto chain = parse_certificates(authority.chain);
  if (!chain) return nullptr;
  // A store and its context belong to one time: what was found valid at another is not looked at again.
  StoreHandle store(X509_STORE_new());
  StoreContextHandle context(X509_STORE_CTX_new_ex(library_context(), nullptr));
  auto* all = chain->get();
  CertificateHandle anchor(sk_X509_pop(all));
  if (!store || !context || X509_STORE_add_cert(store.get(), anchor.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate, all) != 1)
    return nullptr;
  auto* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, time / 1000);
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_depth(param, 4);
  X509_VERIFY_PARAM_set_auth_level(param, 2);
  bool good = X509_verify_cert(context.get()) == 1;
  complaint = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
  ERR_clear_error();
  auto* path = X509_STORE_CTX_get0_chain(context.get());
  if (!good || sk_X509_num(path) < 2) return nullptr;
  auto* issuer = sk_X509_value(path, 1);
  X509_up_ref(issuer);
  return CertificateHandle(issuer);
}

bool is_valid_at(const X509* certificate, Milliseconds time) {
  time_t seconds = time / 1000;
  return X509_cmp_time(X509_get0_notBefore(certificate), &seconds) < 0 &&
         X509_cmp_time(X509_get0_notAfter(certificate), &seconds) > 0;
}

}  // namespace

Result<CertificateHandle> find_issuer(X509* certificate, const TrustedRoot& root, Milliseconds time) {
  std::string complaint;
  bool any = false;
  for (const auto& authority : root.certificate_authorities) {
    if (!authority.validity.holds(time)) continue;
    any = true;
    auto issuer = issuer_by(certificate, authority, time, complaint);
    if (issuer && is_valid_at(certificate, time)) return issuer;
  }
  if (!any)
    return fail(refuse("no certificate authority was trusted at the time of signing").with_hint(kOlderRoot));
  return fail(refuse("the certificate was not issued by a trusted authority, or not valid when it signed (" +
                     complaint + ")"));
}

Status check_profile(X509* certificate) {
  auto flags = X509_get_extension_flags(certificate);
  if ((flags & EXFLAG_INVALID) != 0) return fail(refuse("the certificate has malformed extensions"));
  if (X509_get_version(certificate) != X509_VERSION_3)
    return fail(refuse("not an X.509 certificate of version 3"));
  if ((flags & EXFLAG_CA) != 0) return fail(refuse("the certificate is that of an authority"));
  if ((flags & EXFLAG_CRITICAL) != 0)
    return fail(refuse("the certificate has an unknown critical extension"));
  auto usage = X509_get_key_usage(certificate);
  if ((flags & EXFLAG_KUSAGE) == 0 || (usage & KU_DIGITAL_SIGNATURE) == 0 || (usage & KU_KEY_CERT_SIGN) != 0)
    return fail(refuse("the certificate's key may not make signatures, or may sign certificates"));
  if ((flags & EXFLAG_XKUSAGE) == 0 || (X509_get_extended_key_usage(certificate) & XKU_CODE_SIGN) == 0)
    return fail(refuse("the certificate is not for signing code"));
  auto kind = kind_of(X509_get0_pubkey(certificate));
  if (!kind || *kind == KeyKind::rsa || *kind == KeyKind::ed25519)
    return fail(refuse("the certificate's key is not on curve P-256, P-384 or P-521"));
  return {};
}

std::optional<std::string> fulcio_extension(const X509* certificate, int number) {
  auto name = "1.3.6.1.4.1.57264.1." + std::to_string(number);
  std::unique_ptr<ASN1_OBJECT, Release<ASN1_OBJECT_free>> object(OBJ_txt2obj(name.c_str(), 1));
  int at = X509_get_ext_by_OBJ(certificate, object.get(), -1);
  if (at < 0 || X509_get_ext_by_OBJ(certificate, object.get(), at) >= 0) return std::nullopt;
  const auto* value = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
  const auto* begin = ASN1_STRING_get0_data(value);
  auto length = ASN1_STRING_length(value);
  constexpr int kLastRaw = 6;
  if (number <= kLastRaw)
    return std::string(reinterpret_cast<const char*>(begin), static_cast<std::size_t>(length));
  const auto* after = begin;
  std::unique_ptr<ASN1_UTF8STRING, Release<ASN1_UTF8STRING_free>> text(
      d2i_ASN1_UTF8STRING(nullptr, &after, length));
  ERR_clear_error();
  // An indefinite length would decode as well; only the one form is taken that a signer writes.
  if (!text || after != begin + length || length < 2 || begin[0] != V_ASN1_UTF8STRING || begin[1] == 0x80)
    return std::nullopt;
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text.get())),
                     static_cast<std::size_t>(ASN1_STRING_length(text.get())));
}

std::vector<std::string> alternative_names(const X509* certificate) {
  std::vector<std::string> out;
  std::unique_ptr<GENERAL_NAMES, Release<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_EMAIL && name->type != GEN_URI) continue;
    const auto* text = name->d.ia5;
    out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  return out;
}

bool is_signer(const X509* certificate, const Signer& signer) {
  if (const auto* named = std::get_if<NamedSigner>(&signer)) {
    auto names = alternative_names(certificate);
    return fulcio_extension(certificate, 1) == named->issuer &&
           std::ranges::find(names, named->name) != names.end();
  }
  const auto& workflow = std::get<WorkflowSigner>(signer);
  constexpr std::string_view kIssuer = "https://token.actions.githubusercontent.com";
  auto ran = fulcio_extension(certificate, 9);
  return fulcio_extension(certificate, 1) == kIssuer && fulcio_extension(certificate, 8) == kIssuer &&
         fulcio_extension(certificate, 12) == workflow.source_repository && ran &&
         std::ranges::find(workflow.workflows, *ran) != workflow.workflows.end();
}

}  // namespace kernels::verify
