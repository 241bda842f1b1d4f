//! Android's own verifier of certificates works through the app's `Context`, which only Java can give.

use jni::EnvUnowned;
use jni::errors::ThrowRuntimeExAndDefault;
use jni::objects::{JClass, JObject};

/// `io.lowtouch.android.Tls.initialize(context)`, once, before the first `Installer`.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn Java_io_lowtouch_android_Tls_initialize<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    context: JObject<'local>,
) {
    env.with_env(|env| rustls_platform_verifier::android::init_with_env(env, context))
        .resolve::<ThrowRuntimeExAndDefault>();
}
