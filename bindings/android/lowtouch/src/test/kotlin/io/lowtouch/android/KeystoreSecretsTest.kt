package io.lowtouch.android

import android.app.Application
import android.content.Context
import android.content.ContextWrapper
import android.content.SharedPreferences
import android.security.keystore.KeyGenParameterSpec
import io.lowtouch.SecretStoreException
import java.io.InputStream
import java.io.OutputStream
import java.security.Key
import java.security.KeyStoreSpi
import java.security.Provider
import java.security.ProviderException
import java.security.SecureRandom
import java.security.Security
import java.security.UnrecoverableKeyException
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.Collections
import java.util.Date
import java.util.Enumeration
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import javax.crypto.spec.SecretKeySpec
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.test.runTest
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** The store's own logic over real AES-GCM; the keystore itself is one in memory, since Android's is hardware. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 35])
internal class KeystoreSecretsTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val secrets = KeystoreSecrets(context, Dispatchers.Default)
    private val file get() = context.getSharedPreferences("lowtouch-secrets", Context.MODE_PRIVATE)

    @Before
    fun keystoreInMemory() {
        MemoryKeystore.keys.clear()
        MemoryKeystore.made = 0
        MemoryKeystore.trouble = false
        MemoryKeystore.unusable = null
        Security.addProvider(MemoryKeystore())
    }

    @After
    fun remove() = Security.removeProvider("AndroidKeyStore")

    @Test
    fun `what was kept is there again, also for another object`() = runTest {
        secrets.set("token", "geheim".toByteArray())
        assertArrayEquals("geheim".toByteArray(), KeystoreSecrets(context).get("token"))
        secrets.set("token", "neu".toByteArray())
        assertArrayEquals("neu".toByteArray(), secrets.get("token"))
        secrets.delete("token")
        assertNull(secrets.get("token"))
        secrets.delete("token")
    }

    @Test
    fun `the file holds neither the secret nor the same text twice`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        val first = file.getString("a", null).orEmpty()
        secrets.set("a", "geheim".toByteArray())
        assertFalse(file.all.toString().contains("geheim"))
        assertFalse(first == file.getString("a", null))
    }

    @Test
    fun `a secret in another's place is no secret`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        file.edit().putString("b", file.getString("a", null)).commit()
        assertNull(secrets.get("b"))
        assertFalse(file.contains("b"))
        assertArrayEquals("geheim".toByteArray(), secrets.get("a"))
    }

    @Test
    fun `a file whose key is gone counts as empty, and works again`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        MemoryKeystore.keys.clear()
        assertNull(secrets.get("a"))
        secrets.set("a", "neu".toByteArray())
        assertArrayEquals("neu".toByteArray(), secrets.get("a"))
    }

    @Test
    fun `rubbish in the file counts as nothing`() = runTest {
        secrets.set("a", "x".toByteArray())
        for (rubbish in listOf("", "!", "AAAA", "A".repeat(64))) {
            file.edit().putString("a", rubbish).commit()
            assertNull(rubbish, secrets.get("a"))
        }
    }

    @Test
    fun `a keystore in trouble is said, and nothing is lost`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        MemoryKeystore.trouble = true
        val failure = runCatching { secrets.get("a") }.exceptionOrNull()
        assertEquals(SecretStoreException.Failed::class.java, failure?.javaClass)
        assertFalse(failure.toString().contains("geheim"))
        MemoryKeystore.trouble = false
        assertArrayEquals("geheim".toByteArray(), secrets.get("a"))
    }

    @Test
    fun `a key that is of no use any more counts as gone, and signing in makes a new one`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        // As AndroidKeyStoreSpi says of an invalidated key, and of a damaged one.
        MemoryKeystore.unusable = UnrecoverableKeyException("User changed or deleted their auth credentials")
        assertNull(secrets.get("a"))
        secrets.set("a", "neu".toByteArray())
        assertArrayEquals("neu".toByteArray(), secrets.get("a"))
        assertEquals(2, MemoryKeystore.made)
    }

    @Test
    fun `many at once make one key in place of one that is of no use`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        MemoryKeystore.unusable = UnrecoverableKeyException("damaged")
        (1..20).map { async(Dispatchers.Default) { secrets.set("s$it", byteArrayOf(it.toByte())) } }.awaitAll()
        assertEquals(2, MemoryKeystore.made)
        for (number in 1..20) assertArrayEquals(byteArrayOf(number.toByte()), secrets.get("s$number"))
    }

    @Test
    @Config(sdk = [35])
    fun `a key that the keystore cannot give for the moment is waited for`() = runTest {
        secrets.set("a", "geheim".toByteArray())
        // KeyMint's SECURE_HW_BUSY.
        MemoryKeystore.unusable = UnrecoverableKeyException("Failed to obtain information about key")
            .apply { initCause(android.security.KeyStoreException(-48, "busy")) }
        for (failure in listOf(runCatching { secrets.get("a") }, runCatching { secrets.set("a", "neu".toByteArray()) })) {
            assertEquals(SecretStoreException.Failed::class.java, failure.exceptionOrNull()?.javaClass)
        }
        MemoryKeystore.unusable = null
        assertArrayEquals("geheim".toByteArray(), secrets.get("a"))
    }

    @Test
    fun `before the first unlock it is locked, and afterwards not`() = runTest {
        var unlocked = false
        val phone = object : ContextWrapper(context) {
            override fun getApplicationContext() = this
            override fun getSharedPreferences(name: String, mode: Int): SharedPreferences {
                check(unlocked) { "SharedPreferences in credential encrypted storage are not available until after user is unlocked" }
                return super.getSharedPreferences(name, mode)
            }
        }
        val secrets = KeystoreSecrets(phone)
        assertEquals(SecretStoreException.Locked::class.java, runCatching { secrets.get("a") }.exceptionOrNull()?.javaClass)
        unlocked = true
        secrets.set("a", "geheim".toByteArray())
        assertArrayEquals("geheim".toByteArray(), secrets.get("a"))
    }

    @Test
    fun `many at once make one key`() = runTest {
        (1..20).map { async(Dispatchers.Default) { secrets.set("s$it", byteArrayOf(it.toByte())) } }.awaitAll()
        assertEquals(1, MemoryKeystore.made)
        for (number in 1..20) assertArrayEquals(byteArrayOf(number.toByte()), secrets.get("s$number"))
    }

    class MemoryKeystore : Provider("AndroidKeyStore", "1", "in memory") {
        init {
            put("KeyStore.AndroidKeyStore", Store::class.java.name)
            put("KeyGenerator.AES", Generator::class.java.name)
        }

        companion object {
            val keys: MutableMap<String, Key> = Collections.synchronizedMap(mutableMapOf())
            @Volatile var made = 0
            @Volatile var trouble = false

            /** Of the key that is there, until it is deleted. */
            @Volatile var unusable: UnrecoverableKeyException? = null
        }
    }

    class Generator : KeyGeneratorSpi() {
        private var alias = ""

        override fun engineInit(random: SecureRandom?) = error("without a spec")
        override fun engineInit(keysize: Int, random: SecureRandom?) = error("without a spec")
        override fun engineInit(spec: AlgorithmParameterSpec, random: SecureRandom?) {
            alias = (spec as KeyGenParameterSpec).keystoreAlias
        }

        override fun engineGenerateKey(): SecretKey {
            MemoryKeystore.made += 1
            return SecretKeySpec(ByteArray(32).also(SecureRandom()::nextBytes), "AES").also { MemoryKeystore.keys[alias] = it }
        }
    }

    class Store : KeyStoreSpi() {
        override fun engineLoad(stream: InputStream?, password: CharArray?) {}
        override fun engineGetKey(alias: String, password: CharArray?): Key? {
            if (MemoryKeystore.trouble) throw ProviderException("the daemon is gone")
            MemoryKeystore.unusable?.let { throw it }
            return MemoryKeystore.keys[alias]
        }

        override fun engineGetCertificateChain(alias: String?): Array<Certificate>? = null
        override fun engineGetCertificate(alias: String?): Certificate? = null
        override fun engineGetCreationDate(alias: String?): Date? = null
        override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) {}
        override fun engineSetKeyEntry(alias: String?, key: ByteArray?, chain: Array<Certificate>?) {}
        override fun engineSetCertificateEntry(alias: String?, cert: Certificate?) {}
        override fun engineDeleteEntry(alias: String) {
            MemoryKeystore.keys.remove(alias)
            MemoryKeystore.unusable = null
        }

        override fun engineAliases(): Enumeration<String> = Collections.enumeration(MemoryKeystore.keys.keys)
        override fun engineContainsAlias(alias: String) = alias in MemoryKeystore.keys
        override fun engineSize() = MemoryKeystore.keys.size
        override fun engineIsKeyEntry(alias: String) = alias in MemoryKeystore.keys
        override fun engineIsCertificateEntry(alias: String?) = false
        override fun engineGetCertificateAlias(cert: Certificate?): String? = null
        override fun engineStore(stream: OutputStream?, password: CharArray?) {}
    }
}
