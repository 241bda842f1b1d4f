package io.lowtouch.android

import android.content.Context
import android.content.SharedPreferences
import android.os.Build
import android.security.KeyStoreException
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.KeyProperties
import android.security.keystore.UserNotAuthenticatedException
import android.util.Base64
import io.lowtouch.SecretStore
import io.lowtouch.SecretStoreException
import java.security.GeneralSecurityException
import java.security.InvalidKeyException
import java.security.KeyStore
import java.security.ProviderException
import java.security.UnrecoverableKeyException
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * Secrets as AES-256-GCM ciphertext in the app's private preferences, under a key that lives in the Android Keystore and never leaves
 * it. The secret's name is the associated data, so that one stored value cannot be put in another's place.
 *
 * The file must not be in backups (`data_extraction_rules.xml` of this library says so): the key is not in them, and a restored
 * file is of no use. A secret that cannot be decrypted any more (restored, or the key is gone) is deleted and counts as not there:
 * the person signs in again. A key that is there and of no use gives way to a new one then.
 */
public class KeystoreSecrets(
    context: Context,
    private val dispatcher: CoroutineDispatcher = Dispatchers.IO,
) : SecretStore {
    /** Not before it is needed: until the first unlock after a start Android refuses it with an exception. */
    private val preferences: SharedPreferences by lazy {
        context.applicationContext.getSharedPreferences(FILE, Context.MODE_PRIVATE)
    }

    override suspend fun get(name: String): ByteArray? = guarded {
        val stored = preferences.getString(name, null) ?: return@guarded null
        try {
            val bytes = Base64.decode(stored, Base64.NO_WRAP)
            val cipher = Cipher.getInstance(TRANSFORMATION)
            cipher.init(Cipher.DECRYPT_MODE, key() ?: throw LostKey(), GCMParameterSpec(TAG_BITS, bytes, 0, IV_BYTES))
            cipher.updateAAD(name.toByteArray())
            cipher.doFinal(bytes, IV_BYTES, bytes.size - IV_BYTES)
        } catch (_: LostKey) {
            forget(name)
        } catch (_: AEADBadTagException) {
            forget(name)
        } catch (_: KeyPermanentlyInvalidatedException) {
            forget(name)
        } catch (_: IllegalArgumentException) {
            // Not Base64, or shorter than an IV.
            forget(name)
        } catch (lost: UnrecoverableKeyException) {
            if (!lost.isForGood()) throw lost
            // Kept: before Android 13 this may pass, and the next set() writes over it.
            null
        }
    }

    override suspend fun set(name: String, value: ByteArray): Unit = guarded {
        val cipher = encrypting()
        cipher.updateAAD(name.toByteArray())
        val stored = cipher.iv + cipher.doFinal(value)
        // commit, not apply: when this returns it is on the disk.
        if (!preferences.edit().putString(name, Base64.encodeToString(stored, Base64.NO_WRAP)).commit()) {
            throw SecretStoreException.Failed("the preferences could not be written")
        }
    }

    override suspend fun delete(name: String): Unit = guarded {
        if (!preferences.edit().remove(name).commit()) throw SecretStoreException.Failed("the preferences could not be written")
    }

    private class LostKey : GeneralSecurityException()

    private fun forget(name: String): ByteArray? {
        preferences.edit().remove(name).commit()
        return null
    }

    private fun keystore(): KeyStore = KeyStore.getInstance(PROVIDER).apply { load(null) }

    private fun key(): SecretKey? = keystore().getKey(ALIAS, null) as SecretKey?

    /** One thread at a time: what the first of two new keys encrypted would be lost. */
    private fun encrypting(): Cipher = synchronized(MAKING) {
        try {
            encrypting(key() ?: makeKey())
        } catch (lost: GeneralSecurityException) {
            if (!lost.isForGood()) throw lost
            // Otherwise nobody could sign in until the app's data is cleared.
            keystore().deleteEntry(ALIAS)
            encrypting(makeKey())
        }
    }

    private fun encrypting(key: SecretKey): Cipher = Cipher.getInstance(TRANSFORMATION).apply { init(Cipher.ENCRYPT_MODE, key) }

    private fun makeKey(): SecretKey = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER).run {
        init(
            KeyGenParameterSpec.Builder(ALIAS, KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                .setKeySize(KEY_BITS)
                .build(),
        )
        generateKey()
    }

    /**
     * Whether the key will not be of use again. Android's keystore says of an invalidated key, a damaged one and of trouble of its own
     * [UnrecoverableKeyException] alike; from Android 13 on it says whether it may pass.
     */
    private fun GeneralSecurityException.isForGood(): Boolean = when (this) {
        is KeyPermanentlyInvalidatedException -> true
        is UnrecoverableKeyException ->
            Build.VERSION.SDK_INT < Build.VERSION_CODES.TIRAMISU || (cause as? KeyStoreException)?.isTransientFailure != true
        else -> false
    }

    private suspend fun <T> guarded(work: () -> T): T = withContext(dispatcher) {
        try {
            work()
        } catch (_: UserNotAuthenticatedException) {
            throw SecretStoreException.Locked()
        } catch (failure: InvalidKeyException) {
            throw SecretStoreException.Failed(failure.javaClass.simpleName)
        } catch (failure: GeneralSecurityException) {
            throw SecretStoreException.Failed(failure.javaClass.simpleName)
        } catch (failure: ProviderException) {
            // The keystore daemon is gone or busy; some phones throw this for a moment after the start.
            throw SecretStoreException.Failed(failure.javaClass.simpleName)
        } catch (_: IllegalStateException) {
            // Credential-encrypted preferences before the first unlock after a start.
            throw SecretStoreException.Locked()
        }
    }

    private companion object {
        const val FILE = "lowtouch-secrets"
        const val ALIAS = "lowtouch-secrets-1"
        const val PROVIDER = "AndroidKeyStore"
        const val TRANSFORMATION = "AES/GCM/NoPadding"
        const val KEY_BITS = 256
        const val TAG_BITS = 128
        const val IV_BYTES = 12
        val MAKING = Any()
    }
}
