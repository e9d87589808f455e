import test from 'ava';
import { issuerNote } from '../../src/model/issuer-note.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { describeGoodSettings } from '../../src/settings/policy-options.js';

test('an issuer of Okta is told with both spellings where it cannot be meant so, and others are left alone', (t) => {
  const custom = /org authorization server.*"https:\/\/corp\.okta\.com\/oauth2\/default"/;
  const slash =
    /"https:\/\/corp\.okta\.com\/oauth2\/aus1\/" ends.*write "https:\/\/corp\.okta\.com\/oauth2\/aus1"/;
  t.regex(issuerNote('https://corp.okta.com') ?? '', custom);
  t.regex(issuerNote('https://corp.okta.com/') ?? '', custom);
  t.regex(issuerNote('https://corp.oktapreview.com') ?? '', /oktapreview\.com\/oauth2\/default/);
  t.regex(issuerNote('https://corp.okta.com/oauth2/aus1/') ?? '', slash);
  for (const good of [
    'https://corp.okta.com/oauth2/default',
    'https://tenant.auth0.com/',
    'https://notokta.com',
    'http://127.0.0.1:18080',
  ]) {
    t.is(issuerNote(good), undefined, good);
  }
  t.regex(issuerNote('https://login.corp.com/oauth2/a/', true) ?? '', /write "https:\/\/login/);
});

const settings = (oktaIssuer: string) =>
  compileSettings({
    env: { SPARK_GATEWAY_OKTA_ISSUER: oktaIssuer, SPARK_GATEWAY_OKTA_CLIENT_ID: 'x' },
    overrides: [],
    cwd: '/here',
  });

test('settings validate says what is probably a mistake beside that the settings are good', (t) => {
  t.is(
    describeGoodSettings(settings('https://corp.okta.com/oauth2/default')),
    'The settings are good.\n',
  );
  t.regex(
    describeGoodSettings(settings('https://corp.okta.com/oauth2/default/')),
    /good\.\nNote: okta_issuer: .*ends with a slash.*\.\n$/,
  );
});
